"""What `fishladder edge check` says of what an agent keeps: its spool, and the month's count. Those of a service that
runs as another user are looked at, and nothing is made or written there: it would not be the service's.
"""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from fishladder.edge.config import EdgeConfig
from fishladder.edge.limits import words
from fishladder.edge.limits.limiter import holding
from fishladder.edge.limits.settings import LimitsConfig
from fishladder.edge.limits.usage import Usage, counted
from fishladder.edge.spool.places import default_bytes
from fishladder.edge.spool.settings import find, place
from fishladder.wire.errors import ConfigError

#: Where the unit's service keeps its state.
SERVICE = Path("/var/lib/fishladder")


class Finding(NamedTuple):
    """`what` was tried, how it went, and a sentence. A `warn` works, and could be better."""

    what: str
    level: Literal["ok", "warn", "FAIL"]
    detail: str


def service_state(given: Path | None, env: Mapping[str, str], *, root: bool, service: Path = SERVICE) -> Path | None:
    """The state directory of a service to look at; None: what is kept is our own. Root of a host with the service means
    that one's, not that of an agent of root's own, unless another place is named.
    """
    if given is not None:
        return given
    return service if root and not env.get("STATE_DIRECTORY") and service.is_dir() else None


def check_spool(config: EdgeConfig, env: Mapping[str, str], *, look: bool) -> Finding:
    """Where frames wait when the uplink is down: whether it can be written, and for how long that is enough."""
    what = "spool"
    if not config.spool.enabled:
        return Finding(what, "ok", "none: frames are kept in memory only")
    try:
        if look:
            directory = place(config.spool, config.site or "site", config.gateway, env)
            assert directory is not None, "a service has a place"
            if not directory.is_dir():
                return Finding(what, "warn", f"{directory} is not there: the service makes it when it starts")
            limit, ring = config.spool.bytes or default_bytes(directory), ""
        else:
            spool = find(config.spool, config.site or "site", config.gateway, env)
            if spool is None:
                return Finding(what, "FAIL", "no place for it: set directory under [spool], or enabled = false")
            directory, limit = spool.directory, spool.limit_bytes()
            ring = f"; the ring is kept in {spool.memory or 'this process alone: a crash loses it'}"
            with tempfile.NamedTemporaryFile(dir=directory) as probe:
                probe.write(bytes(1 << 16))
        held = sum(it.stat().st_size for it in directory.glob("*.sqlite"))
        free = shutil.disk_usage(directory).free
    except (ConfigError, OSError) as error:
        return Finding(what, "FAIL", f"{config.spool.directory}: {error}" if isinstance(error, OSError) else str(error))
    most = sum(config.capture(camera).encoder.bitrate_bps for camera in config.cameras) / 8
    room = min(limit, held + free)
    return Finding(
        what,
        "ok",
        f"{directory}, {room / 1e9:.1f} GB of room ({room / most / 3600:.0f} h of all cameras at their most), "
        f"{held / 1e6:.0f} MB in it{ring}",
    )


def check_limits(config: EdgeConfig, env: Mapping[str, str], *, look: bool) -> Iterator[Finding]:
    """What the operator lets it have of the uplink now, and how the month goes."""
    limits = config.limits
    if limits == LimitsConfig():
        return
    slots: dict[int, int] = {}
    failing = ""
    if limits.month_bytes:
        state = place(config.spool, config.site or "site", config.gateway, env)
        if look and state is not None:
            try:
                slots = counted(state)
            except sqlite3.Error as error:
                failing = f"; the count cannot be read: {error}"
        else:
            usage = Usage(state)
            slots, failing = usage.slots, f"; the count cannot be kept: {usage.failing}" if usage.failing else ""
            usage.close()
    holds = holding(limits, slots, time.time())
    said = [holds.why or "none at the moment"]
    if limits.yields:
        said.append("others on the uplink go first")
    yield Finding("limits", "ok", "; ".join(said))
    if holds.month is None:
        return
    short = holds.month.reached_s is not None
    level: Literal["ok", "warn"] = "warn" if short or failing else "ok"
    lasts = "; less is sent so that it lasts" if short and holds.total_bps else ""
    yield Finding("month", level, f"{words.month(holds.month, limits.zone)}{lasts}{failing}")
