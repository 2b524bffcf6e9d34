"""`[limits]` of an agent's settings: what the operator lets it have of the site's uplink, read and checked. What
follows from that at a moment is `limiter`'s.
"""

from datetime import datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from fishladder.edge.limits.windows import Window
from fishladder.wire.bitrate import parse_bitrate
from fishladder.wire.errors import ConfigError

#: Less carries no picture.
LEAST_BPS = 24_000
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: In a window: no limit but the monthly one.
NONE = "none"


class WindowConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `schedule`."""

    max_up: str
    days: str = "mon-sun"
    begins: str = msgspec.field(name="from", default="00:00")
    ends: str = msgspec.field(name="to", default="24:00")


class LimitsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[limits]`. See edge.toml for what each means."""

    max_up: str = ""
    schedule: tuple[WindowConfig, ...] = ()
    timezone: str = ""
    monthly_gb: float = 0.0
    billing_day: int = 1
    yields: bool = msgspec.field(name="yield", default=False)

    @property
    def max_bps(self) -> float | None:
        """What holds outside the windows; None = no limit. Raises `ConfigError`."""
        return rate_bps(self.max_up, "max_up of [limits]") if self.max_up else None

    @property
    def windows(self) -> tuple[Window, ...]:
        """In order: the first one that holds decides. Raises `ConfigError`."""
        return tuple(_window(it, f"schedule of [limits], entry {n}") for n, it in enumerate(self.schedule, 1))

    @property
    def zone(self) -> ZoneInfo | None:
        """None = this host's. Raises `ConfigError`."""
        if not self.timezone:
            return None
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigError(
                f"timezone of [limits]: {self.timezone!r} is not known here: expected a name such as Europe/Berlin "
                "(from the system's tzdata), or leave it out for this host's"
            ) from None

    @property
    def month_bytes(self) -> int:
        """0 = no limit."""
        return round(self.monthly_gb * 1e9)

    def check(self) -> None:
        """Raises `ConfigError`."""
        _ = self.max_bps, self.windows, self.zone
        if not 0 <= self.monthly_gb < 1e6:
            raise ConfigError(f"monthly_gb of [limits] is {self.monthly_gb:g}: expected a number of GB, or 0 for none")
        if not 1 <= self.billing_day <= 31:
            raise ConfigError(f"billing_day of [limits] is {self.billing_day}: expected a day of the month, 1 to 31")


def rate_bps(text: str, what: str) -> float:
    """`4 Mbit/s`, `800k` or `2.5m` in bits a second. Raises `ConfigError` naming `what`."""
    if (bps := parse_bitrate(text)) is None:
        raise ConfigError(f'{what}: {text!r}: expected a rate such as "4 Mbit/s" or "800 kbit/s"')
    if bps < LEAST_BPS:
        raise ConfigError(f"{what}: {text!r} is {bps:g} bit/s: at least {LEAST_BPS / 1000:g} kbit/s")
    return bps


def _window(it: WindowConfig, what: str) -> Window:
    max_bps = None if it.max_up.strip().lower() == NONE else rate_bps(it.max_up, f"{what}: max_up")
    begins, ends = _minute(it.begins, f"{what}: from"), _minute(it.ends, f"{what}: to")
    if begins == ends:
        raise ConfigError(f"{what}: from {it.begins} to {it.ends} is no time at all")
    return Window(_days(it.days, f"{what}: days"), begins, ends, max_bps)


def _minute(text: str, what: str) -> int:
    """Minutes from midnight; 24:00 is the end of the day."""
    if text == "24:00":
        return 24 * 60
    try:
        at: time = datetime.strptime(text, "%H:%M").time()
    except ValueError:
        raise ConfigError(f'{what}: {text!r}: expected a time of day such as "08:30"') from None
    return at.hour * 60 + at.minute


def _days(text: str, what: str) -> frozenset[int]:
    """`mon-fri`, `sat,sun` or both; a range may go round the end of the week."""
    days: set[int] = set()
    for part in text.lower().replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise ConfigError(f'{what}: {text!r}: expected days such as "mon-fri" or "sat,sun"')
        at, end = _DAYS.index(first), _DAYS.index(last or first)
        days.add(at)
        while at != end:
            at = (at + 1) % 7
            days.add(at)
    return frozenset(days)
