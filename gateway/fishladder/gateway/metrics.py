"""Everything the gateway counts, in one place. Labels named site and camera are bounded: past `MAX_CAMERAS` pairs the
rest shares one, so that made-up names cannot fill the memory.
"""

from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

MAX_CAMERAS = 4096

units = Counter("fishladder_gateway_units_total", "Units logged.", ["site", "camera"])
unit_bytes = Counter("fishladder_gateway_unit_bytes_total", "Bytes of units and ranges logged.", ["site", "camera"])
restamped = Counter("fishladder_gateway_restamped_total", "Units with an impossible capture time.", ["site", "camera"])
fenced = Counter("fishladder_gateway_fenced_total", "Sessions whose log was lost or taken over.")
refused = Counter("fishladder_gateway_refused_total", "Connections and cameras refused.", ["reason"])
faults = Counter("fishladder_gateway_faults_total", "Connections ended for breaking the protocol.", ["code"])
whip = Counter("fishladder_gateway_whip_total", "What came of WHIP clients' packets.", ["what"])
connections = Gauge("fishladder_gateway_connections", "Open connections.", ["kind"])
viewer_skipped = Counter("fishladder_gateway_viewer_skipped_total", "Units slow viewers were not sent.")
queued_bytes = Gauge("fishladder_gateway_log_queue_bytes", "Bytes taken and not yet known to be in the log.")
credit_bytes = Gauge("fishladder_gateway_credit_bytes", "Bytes agents may send at this moment.")
certificate_expires = Gauge("fishladder_gateway_certificate_expires_seconds", "When the certificate ends, Unix time.")
ready = Gauge("fishladder_gateway_ready", "1 while it can take in video, see /readyz.")
state_durable = Gauge(
    "fishladder_gateway_state_durable", "1 if what the state store confirms survives a loss of power."
)
state_durable.set(float("nan"))  # until it was asked
frames_used_bytes = Gauge("fishladder_gateway_frames_used_bytes", "Memory the frame store uses.")
frames_limit_bytes = Gauge("fishladder_gateway_frames_limit_bytes", "Memory it may use.")
append_seconds = Histogram(
    "fishladder_gateway_append_seconds",
    "One group commit, from writing it to its last reply.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
# From 0 on: what is not there before its first event has not grown by it, and looks to a panel like a misspelling.
for _instrument, _labels in (
    (refused, ("token", "scope", "forbidden", "invalid", "superseded", "stale", "limit", "unavailable")),
    (refused, ("connections", "handshake", "http", "load", "rate", "stranger")),
    (faults, ("version", "limit", "protocol", "timeout", "token", "websocket")),
    (connections, ("uplink", "whip", "live", "events", "stranger")),
):
    for _label in _labels:
        _instrument.labels(_label)


_seen: set[str] = set()


@lru_cache(MAX_CAMERAS)
def _of(camera: str) -> tuple[Counter, Counter, Counter]:
    """A camera's own counters; looking them up by labels each time costs more than counting."""
    if len(_seen) >= MAX_CAMERAS and camera not in _seen:
        labels = ("other", "other")
    else:
        _seen.add(camera)
        site, _, name = camera.partition("/")
        labels = (site, name)
    return units.labels(*labels), unit_bytes.labels(*labels), restamped.labels(*labels)


def logged(camera: str, count: int, size: int, restamps: int) -> None:
    """Count one session's part of a group commit."""
    of_units, of_bytes, of_restamped = _of(camera)
    of_units.inc(count)
    of_bytes.inc(size)
    if restamps:
        of_restamped.inc(restamps)
