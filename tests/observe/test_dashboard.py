"""A real Prometheus scrapes a whole system: every panel of the dashboard has data, and alerts fire when their cause is
real. Grafana itself is not run here; what it would draw is what these queries answer.
"""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession
from support.fleet import Fleet, fleet, free_port
from support.installed import PROMETHEUS, needs_prometheus
from support.models import strips_model
from support.stores import wait_until

OBSERVE = Path(__file__).parent.parent.parent / "observe"
#: What Grafana puts in for a dashboard over the last hour at this scrape interval.
FILLED_IN = {"$__rate_interval": "15s", "$site": ".*", "$datasource": "prometheus"}
#: What an uplink carries is known only once it was full, and nothing stands in for it until then.
ONLY_WHEN_FULL = "fishladder_fleet_uplink_estimate_bps"

#: Whose first event is worth an alert: a counter that is not there before it has not grown by it.
COUNTED_FROM_ZERO = ('fishladder_worker_lease_moves_total{how="lost"}', "fishladder_sink_missed_total")

pytestmark = [
    needs_prometheus,
    pytest.mark.timeout(300),
]


@asynccontextmanager
async def prometheus(place: Path, targets: dict[str, int]) -> AsyncIterator[str]:
    """Scrapes `targets` (job, port) each second, with our rules, which here need not hold for a while to fire."""
    assert PROMETHEUS is not None
    rules = yaml.safe_load((OBSERVE / "prometheus" / "alerts.yaml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["for"] = "0s"
    (place / "alerts.yaml").write_text(json.dumps(rules))
    jobs = [{"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for job, port in targets.items()]
    config: dict[str, Any] = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "scrape_configs": jobs}
    (place / "prometheus.yaml").write_text(json.dumps(config | {"rule_files": ["alerts.yaml"]}))
    port = free_port()
    with (place / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(PROMETHEUS, f"--config.file={place}/prometheus.yaml", f"--storage.tsdb.path={place}/tsdb"),
            *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def ask(http: ClientSession, url: str, query: str) -> list[Any]:
    try:
        async with http.get(f"{url}/api/v1/query", params={"query": query}) as reply:
            if reply.status == 503:  # it is starting
                return []
            it = await reply.json()
    except OSError:
        return []
    assert it["status"] == "success", (query, it)
    result: list[Any] = it["data"]["result"]
    return result


def panels() -> Iterator[tuple[str, str]]:
    """Title and query, with what Grafana fills in."""
    dashboard = json.loads((OBSERVE / "grafana" / "fishladder.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"]
            for name, value in FILLED_IN.items():
                query = query.replace(name, value)
            yield panel["title"], query


async def start(system: Fleet, model: Path, place: Path) -> dict[str, int]:
    """A worker, an agent with two cameras and a sink; the metrics ports by job."""
    ports = {job: free_port() for job in ("fishladder-worker", "fishladder-edge", "fishladder-sink")}
    await system.worker(model, "--metrics-port", str(ports["fishladder-worker"]))
    cameras = {"door": "test:160x120@10", "yard": "test:160x120@10"}
    await system.edge("shop-7", cameras, "--metrics-port", str(ports["fishladder-edge"]))
    await system.start(
        *("sink", "sink", "run", "--webhook", f"http://127.0.0.1:{free_port()}/nobody"),
        *("--metrics-port", str(ports["fishladder-sink"]), "--data-dir", str(place / "data")),
    )
    return ports


async def test_every_panel_has_data_and_alerts_fire_for_real(tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    gateway_port = free_port()
    async with fleet(tmp_path, ("--metrics-port", str(gateway_port))) as (system, _), ClientSession() as http:
        targets = {"fishladder-gateway": gateway_port} | await start(system, model, tmp_path)
        async with prometheus(tmp_path, targets) as url:

            async def scraped() -> bool:
                return len(await ask(http, url, 'up{job=~"fishladder-.*"} == 1')) == len(targets)

            await wait_until(scraped, 60, "every role is scraped", 0.5)
            for counter in COUNTED_FROM_ZERO:
                await wait_until(lambda counter=counter: ask(http, url, f"{counter} == 0"), 30, counter, 0.5)
            queries = list(panels())
            assert len(queries) > 30
            # Asked one after the other, each until it has data: asking for all again and again keeps two cores busy.
            for title, query in queries:
                if ONLY_WHEN_FULL in query:
                    await ask(http, url, query)  # it is a query; what it would answer nobody knows here
                    continue
                await wait_until(lambda query=query: ask(http, url, query), 90, f"the panel {title!r} has data", 1.0)

            # A worker and an agent that go.
            async def fires(alert: str) -> bool:
                return bool(await ask(http, url, f'ALERTS{{alertname="{alert}",alertstate="firing"}}'))

            assert not await fires("FishladderNoWorker")
            assert not await fires("FishladderSiteDown")
            parts = {part.name: part for part in system.parts}
            await asyncio.gather(parts["worker"].stop(), parts["edge"].stop())
            expected = ["FishladderNoWorker", "FishladderSiteDown", "FishladderTargetDown"]

            for alert in expected:
                await wait_until(lambda alert=alert: fires(alert), 120, f"{alert} fires", 0.5)
