"""A real Prometheus, with the repository's settings, scrapes a whole system: every panel of the dashboard has data.
Grafana itself is not run here; what it would draw is what these queries answer.
"""

import re
from pathlib import Path

import pytest
from aiohttp import ClientSession
from support.fleet import Fleet, fleet, free_port
from support.installed import needs_prometheus
from support.models import strips_model
from support.observed import metrics_in, panels, prometheus, rules
from support.receivers import receiver
from support.stores import wait_until

#: What an uplink carries is known only once it was full, and nothing stands in for it until then.
ONLY_WHEN_FULL = "fishladder_fleet_uplink_estimate_bps"

#: Whose first event is worth an alert: a counter that is not there before it has not grown by it.
COUNTED_FROM_ZERO = (
    'fishladder_worker_lease_moves_total{how="lost"}',
    "fishladder_sink_missed_total",
    'fishladder_gateway_refused_total{reason="token"}',
    'fishladder_fleet_settled_frames_total{group="dropped"}',
)

pytestmark = [
    needs_prometheus,
    pytest.mark.timeout(300),
]


async def start(system: Fleet, model: Path, place: Path, hook_port: int) -> dict[str, int]:
    """A worker, an agent with two cameras and a sink; the metrics ports by job."""
    ports = {job: free_port() for job in ("fishladder-worker", "fishladder-edge", "fishladder-sink")}
    await system.worker(model, "--metrics-port", str(ports["fishladder-worker"]))
    cameras = {"door": "test:160x120@10", "yard": "test:160x120@10"}
    await system.edge("shop-7", cameras, "--metrics-port", str(ports["fishladder-edge"]))
    await system.start(
        *("sink", "sink", "run", "--webhook", f"http://127.0.0.1:{hook_port}/hook"),
        *("--metrics-port", str(ports["fishladder-sink"]), "--data-dir", str(place / "data")),
    )
    return ports


async def exposed(http: ClientSession, ports: dict[str, int]) -> set[str]:
    """The names of all metrics that roles have, as they are asked for: of a histogram, its three series."""
    found: set[str] = set()
    for port in ports.values():
        async with http.get(f"http://127.0.0.1:{port}/metrics") as reply:
            text = await reply.text()
        for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
            found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return found


async def test_every_panel_has_data(tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    gateway = ("--metrics-port", str(gateway_port := free_port()))
    async with receiver() as hook, fleet(tmp_path, gateway) as (system, _), ClientSession() as http:
        ports = {"fishladder-gateway": gateway_port} | await start(system, model, tmp_path, hook.port)
        async with prometheus(tmp_path, {job: (port,) for job, port in ports.items()}) as observer:

            async def scraped() -> bool:
                return len(await observer.ask('up{job=~"fishladder-.*"} == 1')) == len(ports)

            await wait_until(scraped, 60, "every role is scraped", 0.5)
            for counter in COUNTED_FROM_ZERO:
                await wait_until(lambda counter=counter: observer.ask(f"{counter} == 0"), 30, counter, 0.5)
            queries = list(panels())
            assert len(queries) > 30
            asked = [query for _, query in queries] + [rule["expr"] for rule in rules()]
            names = set().union(*map(metrics_in, asked))
            assert names - await exposed(http, ports) == set(), "asked for, and no role has it"
            # Asked one after the other, each until it has data: asking for all again and again keeps two cores busy.
            for title, query in queries:
                assert "vector(" not in query, f"{title!r}: a panel without data shall not show some"
                if ONLY_WHEN_FULL in query:
                    await observer.ask(query)  # it is a query; what it would answer nobody knows here
                    continue
                await wait_until(lambda query=query: observer.ask(query), 90, f"the panel {title!r} has data", 1.0)
