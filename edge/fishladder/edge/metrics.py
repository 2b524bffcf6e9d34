"""What an agent counts, all in one place."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import Counter, Gauge

from fishladder.wire.fates import DECLARABLE, Fate

_CAMERA = ("site", "camera")
_NOT_SENT_AS = sorted(DECLARABLE - {Fate.DEFERRED})

CAPTURED = Counter("fishladder_edge_captured_total", "Pictures the camera delivered", _CAMERA)
UNITS = Counter("fishladder_edge_units_total", "Units ready for the uplink", _CAMERA)
BYTES = Counter("fishladder_edge_unit_bytes_total", "Bytes of units ready for the uplink", _CAMERA)
NOT_SENT = Counter("fishladder_edge_not_sent_total", "Pictures declared instead of sent", (*_CAMERA, "reason"))
RESTARTS = Gauge("fishladder_edge_capture_restarts", "Times the capture process was started again", _CAMERA)
RING = Gauge("fishladder_edge_ring_bytes", "Bytes held until committed", _CAMERA)
PENDING = Gauge("fishladder_edge_pending", "Pictures captured and not yet committed", (*_CAMERA, "lane"))
SPOOL = Gauge("fishladder_edge_spool_bytes", "Bytes of pictures on disk that wait for the uplink", _CAMERA)
SPOOL_WRITTEN = Counter("fishladder_edge_spool_written_bytes_total", "Bytes of pictures written to disk", _CAMERA)
SPOOL_LIMIT = Gauge("fishladder_edge_spool_limit_bytes", "What the spool may hold")
SPOOL_OLDEST = Gauge("fishladder_edge_spool_oldest_seconds", "For how long the oldest picture on disk has waited")
SPOOL_FAILING = Gauge("fishladder_edge_spool_failing", "1 while the disk takes nothing")
RECONNECTS = Counter("fishladder_edge_reconnects_total", "Connections to the gateway that ended")
SENT = Counter("fishladder_edge_sent_bytes_total", "Bytes of binary messages sent to the gateway")
RATE = Gauge("fishladder_edge_uplink_rate_bps", "What live video may use of the uplink")
QUEUE = Gauge("fishladder_edge_uplink_queue_seconds", "Standing queue seen in the acknowledgements")
RTT = Gauge("fishladder_edge_uplink_rtt_seconds", "Round trip of the latest clock probe")
CARRIED = Counter("fishladder_edge_uplink_carried_bytes_total", "IP bytes of the uplink, both directions")
LIMIT = Gauge("fishladder_edge_uplink_limit_bps", "What the operator's limits let the uplink have; +Inf without any")
MONTH_USED = Gauge("fishladder_edge_month_used_bytes", "Carried in this billing month")
MONTH_LIMIT = Gauge("fishladder_edge_month_limit_bytes", "What it may carry")
MONTH_FORECAST = Gauge("fishladder_edge_month_forecast_bytes", "What it will have carried, at the last day's rate")


@dataclass(frozen=True, slots=True)
class CameraCounts:
    """One camera's children of the instruments above."""

    captured: Counter
    units: Counter
    bytes: Counter
    restarts: Gauge
    ring: Gauge
    pending: Gauge
    backlog: Gauge
    spool: Gauge
    spool_written: Counter
    not_sent: Mapping[Fate, Counter]  #: of each, from 0 on


def of_camera(name: str) -> CameraCounts:
    site, _, camera = name.partition("/")
    return CameraCounts(
        captured=CAPTURED.labels(site, camera),
        units=UNITS.labels(site, camera),
        bytes=BYTES.labels(site, camera),
        restarts=RESTARTS.labels(site, camera),
        ring=RING.labels(site, camera),
        pending=PENDING.labels(site, camera, "live"),
        backlog=PENDING.labels(site, camera, "backfill"),
        spool=SPOOL.labels(site, camera),
        spool_written=SPOOL_WRITTEN.labels(site, camera),
        not_sent={fate: NOT_SENT.labels(site, camera, fate.label) for fate in _NOT_SENT_AS},
    )
