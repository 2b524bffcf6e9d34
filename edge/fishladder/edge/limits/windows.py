"""Times of the week in which another limit holds. Pure: it goes by the time of day that a clock on the wall shows, so a
window keeps its hours when summer time begins or ends (an hour that comes twice is in it twice).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Window:
    """From `begins` to before `ends`, minutes from midnight, on `days` (0 = Monday). One that ends before it begins
    goes on into the next day. `max_bps` None = no limit.
    """

    days: frozenset[int]
    begins: int
    ends: int
    max_bps: float | None

    def holds(self, local: datetime) -> bool:
        """Whether it holds at a local time."""
        minute, today = local.hour * 60 + local.minute, local.weekday()
        if self.begins < self.ends:
            return today in self.days and self.begins <= minute < self.ends
        yesterday = (today - 1) % 7
        return (today in self.days and minute >= self.begins) or (yesterday in self.days and minute < self.ends)


def window_at(windows: Sequence[Window], local: datetime) -> Window | None:
    """The first that holds."""
    return next((window for window in windows if window.holds(local)), None)


def changes_at(windows: Sequence[Window], local: datetime) -> datetime | None:
    """When, by local time, another one (or none) will hold; None if that is not within a week."""
    now, minute = window_at(windows, local), local.replace(second=0, microsecond=0)
    edges = sorted({edge % _DAY for window in windows for edge in (window.begins, window.ends)})
    midnight = minute.replace(hour=0, minute=0)
    for day in range(8):
        for edge in edges:
            at = midnight + timedelta(days=day, minutes=edge)
            if at > minute and window_at(windows, at) is not now:
                return at
    return None
