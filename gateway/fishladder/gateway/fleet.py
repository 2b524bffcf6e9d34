"""The fleet as metrics: what the state store knows of every site and camera, whichever gateway, worker or agent it came
from. Several gateways say the same, so queries take the maximum. Read each `EVERY_S`, and only where metrics are on.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from fishladder.gateway.asking import asking
from fishladder.runtime.lifecycle import Backoff, supervise
from fishladder.runtime.store import Stores
from fishladder.view.models import CameraView, Severity
from fishladder.view.reader import StateReader
from fishladder.view.snapshot import Snapshot, read_snapshot
from fishladder.wire.fates import Fate

EVERY_S = 10.0
#: What is older says nothing any more.
_STALE_S = 60.0
_CAMERA = ["site", "camera"]
_GROUPS = {fate.label: fate.group for fate in Fate}


class Fleet:
    """A collector of the last snapshot."""

    def __init__(self, stores: Stores, *, every_s: float = EVERY_S) -> None:
        self._reader = StateReader(stores.state, stores.partitions, stores.urls.state)
        self._every_s = every_s
        self._last: tuple[float, Snapshot] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Offer it to Prometheus while the block runs."""
        task = asyncio.create_task(supervise("fleet metrics", self._run, backoff=Backoff(1.0, 10.0)), name="fleet")
        REGISTRY.register(self)
        try:
            yield
        finally:
            REGISTRY.unregister(self)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        """Raises `StoreUnavailable`."""
        while True:
            async with asking(self._reader.state, "state store, reading the fleet"):
                self._last = time.monotonic(), await read_snapshot(self._reader)
            await asyncio.sleep(self._every_s)

    def describe(self) -> list[Metric]:
        """None: `collect` is asked from another thread, and only when there is something."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Called in the thread that answers Prometheus."""
        if self._last is None or time.monotonic() - self._last[0] > _STALE_S:
            return
        yield from metrics_of(self._last[1])


def metrics_of(snapshot: Snapshot) -> Iterator[Metric]:
    """Pure."""
    frames = CounterMetricFamily("fishladder_fleet_frames", "Frames by fate.", labels=[*_CAMERA, "group", "reason"])
    settled = CounterMetricFamily("fishladder_fleet_settled_frames", "Frames with a fate.", labels=[*_CAMERA, "group"])
    heard = GaugeMetricFamily("fishladder_fleet_heard_age_seconds", "Since the agent was heard.", labels=_CAMERA)
    pending = GaugeMetricFamily("fishladder_fleet_pending_frames", "Frames without a fate.", labels=_CAMERA)
    deferred = GaugeMetricFamily("fishladder_fleet_deferred_frames", "Of these, to be sent later.", labels=_CAMERA)
    oldest = GaugeMetricFamily("fishladder_fleet_oldest_pending_seconds", "How long one has waited.", labels=_CAMERA)
    wrong = GaugeMetricFamily("fishladder_fleet_unaccounted_frames", "By how much it does not close.", labels=_CAMERA)
    severity = GaugeMetricFamily("fishladder_fleet_camera_severity", "0 ok to 3 down.", labels=_CAMERA)
    for camera in snapshot.cameras:
        names = [camera.site, camera.name]
        for group, reason, count in _fates(camera):
            frames.add_metric([*names, group, reason], count)
        for group in ("inferred", "skipped", "dropped"):  # from 0 on: an alert goes by what they have grown
            settled.add_metric([*names, group], getattr(camera.ledger, group))
        if camera.heard_age_s is not None:
            heard.add_metric(names, camera.heard_age_s)
        pending.add_metric(names, camera.ledger.pending)
        deferred.add_metric(names, camera.ledger.deferred)
        oldest.add_metric(names, camera.oldest_pending_s)
        wrong.add_metric(names, camera.ledger.unaccounted)
        severity.add_metric(names, camera.finding.severity.rank)
    yield from (frames, settled, heard, pending, deferred, oldest, wrong, severity)
    yield from _sites(snapshot)


def _sites(snapshot: Snapshot) -> Iterator[Metric]:
    severity = GaugeMetricFamily("fishladder_fleet_site_severity", "0 ok to 3 down.", labels=["site"])
    used = GaugeMetricFamily("fishladder_fleet_uplink_used_bps", "Bits a second that arrive.", labels=["site"])
    estimate = GaugeMetricFamily("fishladder_fleet_uplink_estimate_bps", "What it would carry.", labels=["site"])
    rtt = GaugeMetricFamily("fishladder_fleet_uplink_rtt_seconds", "Its round trip.", labels=["site"])
    spool = GaugeMetricFamily("fishladder_fleet_spool_ratio", "Share of the spool in use.", labels=["site"])
    overview = snapshot.overview()
    for site in overview.sites:
        severity.add_metric([site.site], site.finding.severity.rank)
        used.add_metric([site.site], site.uplink.used_bps)
        if site.uplink.estimate_bps is not None:
            estimate.add_metric([site.site], site.uplink.estimate_bps)
        if site.uplink.rtt_ms is not None:
            rtt.add_metric([site.site], site.uplink.rtt_ms / 1000)
        if site.uplink.spool_bytes is not None and site.uplink.spool_limit_bytes:
            spool.add_metric([site.site], site.uplink.spool_bytes / site.uplink.spool_limit_bytes)
    alive = sum(worker.finding.severity is not Severity.DOWN for worker in overview.workers)
    yield from (severity, used, estimate, rtt, spool)
    yield GaugeMetricFamily("fishladder_fleet_workers", "Workers that are heard of.", value=alive)
    sinks = GaugeMetricFamily("fishladder_fleet_sink_severity", "0 ok to 3 not running.", labels=["sink"])
    for sink in overview.sinks:
        sinks.add_metric([sink.sink], sink.finding.severity.rank)
    yield sinks


def _fates(camera: CameraView) -> Iterator[tuple[str, str, int]]:
    yield "inferred", "inferred", camera.ledger.inferred
    for reason, count in camera.ledger.reasons.items():
        yield _GROUPS[reason], reason, count
