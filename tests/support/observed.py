"""Debian's Prometheus with the repository's own settings and rules. What is changed of them stands here: whom it
scrapes (the ports of a test's roles in place of the stack's names), how often, and how fast the rules' time goes by.
"""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from aiohttp import ClientSession
from support.fleet import free_port
from support.installed import PROMETHEUS

OBSERVE = Path(__file__).parent.parent.parent / "observe"
RULES = OBSERVE / "prometheus" / "alerts.yaml"
#: What Grafana puts in for a dashboard over the last hour at a scrape interval of a second.
_FILLED_IN = {"$__rate_interval": "15s", "$site": ".*", "$datasource": "prometheus"}
_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000}
_DURATION = re.compile(r"\b(\d+)([smh])\b")
#: A threshold in seconds: what a metric called `..._seconds` is compared with.
_SECONDS = re.compile(r"(_seconds\)*\s*>\s*)(\d+)\b")


def rules() -> list[dict[str, Any]]:
    """The alerts as they are shipped."""
    document = yaml.safe_load(RULES.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def faster(rule: dict[str, Any], by: float) -> dict[str, Any]:
    """An alert whose time goes by so many times as fast: its `for`, the ranges it looks back over and the thresholds it
    has in seconds, and nothing else.
    """

    def shorter(found: re.Match[str]) -> str:
        return f"{round(int(found[1]) * _UNITS_MS[found[2]] / by)}ms"

    expr = _DURATION.sub(shorter, rule["expr"])
    expr = _SECONDS.sub(lambda found: f"{found[1]}{int(found[2]) / by:g}", expr)
    return rule | {"expr": expr, "for": _DURATION.sub(shorter, rule.get("for", "0s"))}


def panels() -> Iterator[tuple[str, str]]:
    """Title and query of the dashboard's panels, with what Grafana fills in."""
    dashboard = json.loads((OBSERVE / "grafana" / "fishladder.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"]
            for name, value in _FILLED_IN.items():
                query = query.replace(name, value)
            yield panel["title"], query


def metrics_in(query: str) -> set[str]:
    """The names of ours, and of the process', that a query asks for."""
    return set(re.findall(r"\b(?:fishladder|process)_\w+", re.sub(r'"[^"]*"', "", query)))


@dataclass
class Observer:
    """A running Prometheus."""

    url: str
    place: Path
    http: ClientSession

    def scrape(self, job: str, *ports: int) -> None:
        """Whom to scrape from now on; none is what a name without an address gives."""
        _write_targets(self.place, job, ports)

    async def ask(self, query: str) -> list[Any]:
        """What a query gives; nothing while Prometheus starts."""
        it = await self._get("/api/v1/query", query=query)
        result: list[Any] = it["data"]["result"] if it else []
        return result

    async def alerts(self) -> list[dict[str, Any]]:
        """Those that are pending or firing, as whoever routes them is told."""
        it = await self._get("/api/v1/alerts")
        assert it is not None
        found: list[dict[str, Any]] = it["data"]["alerts"]
        return found

    async def _get(self, path: str, **params: str) -> dict[str, Any] | None:
        try:
            async with self.http.get(f"{self.url}{path}", params=params) as reply:
                if reply.status == 503:  # it is starting
                    return None
                it: dict[str, Any] = await reply.json()
        except OSError:
            return None
        assert it["status"] == "success", (params, it)
        return it


def _write_targets(place: Path, job: str, ports: tuple[int, ...]) -> None:
    new = place / "new"
    new.write_text(json.dumps([{"targets": [f"127.0.0.1:{port}" for port in ports]}]))
    new.rename(place / f"{job}.json")


def _write_settings(place: Path, ports: dict[str, tuple[int, ...]], by: float) -> None:
    settings = yaml.safe_load((OBSERVE / "prometheus" / "prometheus.yaml").read_text())
    settings["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    jobs = {job["job_name"]: job for job in settings["scrape_configs"]}
    assert jobs.keys() == ports.keys(), "prometheus.yaml has other jobs"
    for name, job in jobs.items():
        del job["dns_sd_configs"]
        job["file_sd_configs"] = [{"files": [f"{place}/{name}.json"]}]
        _write_targets(place, name, ports[name])
    assert settings["rule_files"] == [RULES.name]
    groups = [{"name": "fishladder", "rules": [faster(rule, by) for rule in rules()]}]
    (place / RULES.name).write_text(json.dumps({"groups": groups}))
    (place / "prometheus.yaml").write_text(json.dumps(settings))


@asynccontextmanager
async def prometheus(
    place: Path, ports: dict[str, tuple[int, ...]], *, faster_by: float = 1
) -> AsyncIterator[Observer]:
    """Scrapes each second the roles at `ports` here, by the names of the jobs in prometheus.yaml."""
    assert PROMETHEUS is not None
    place = place / "prometheus"
    place.mkdir()
    _write_settings(place, ports, faster_by)
    port = free_port()
    with (place / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(PROMETHEUS, f"--config.file={place}/prometheus.yaml", f"--storage.tsdb.path={place}/tsdb"),
            *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        async with ClientSession() as http:
            observer = Observer(f"http://127.0.0.1:{port}", place, http)
            try:
                yield observer
            except AssertionError:
                known = [(it["labels"], it["state"], it["activeAt"]) for it in await observer.alerts()]
                print("--- alerts", *known, "--- prometheus", (place / "log").read_text()[-2000:], sep="\n")
                raise
    finally:
        process.terminate()
        await process.wait()
