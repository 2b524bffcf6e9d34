"""What a reload of an agent's settings means: which of them take effect while it runs. Pure."""

from dataclasses import dataclass, field

from fishladder.edge.config import EdgeConfig

#: What the uplink, the rings and the process itself were made with. All else is about cameras.
_AT_START = (
    "gateway",
    "site",
    "token",
    "token_file",
    "ca_file",
    "proxy",
    "uplink",
    "ring_bytes",
    "stall_s",
    "drain_s",
    "once",
    "metrics_host",
    "metrics_port",
    "log_level",
    "spool",
)


@dataclass(slots=True)
class Changes:
    """What became of cameras, by name."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def needs_restart(old: EdgeConfig, new: EdgeConfig) -> list[str]:
    """Settings that differ and are looked at only when the agent starts."""
    return [name for name in _AT_START if getattr(old, name) != getattr(new, name)]
