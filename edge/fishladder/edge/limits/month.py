"""A monthly allowance: which billing month it is, how it will end at the present rate, and what may be sent so that it
lasts. Pure: fed with how much went over the link in each quarter of an hour.
"""

import calendar
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

#: Use is kept by slots of so long: zones' offsets are multiples of it, so a month begins where a slot does.
SLOT_S = 900
#: The present rate is that of the last day, as days have a pattern; before this much of it is known, nobody can say.
DAY_S = 86_400.0
EARLY_S = 3600.0
#: Kept back for what is not seen here: names that are looked up, what goes on while a count is written.
RESERVE = 0.02
#: How steeply more may be sent while less than an even share is used: bursts by day for quiet nights.
STEEP = 4.0
#: But of what is left no more than so much in an hour, which matters on the month's last day alone.
MOST_OF_REST = 0.33

Slots = Mapping[int, int]  #: start of a slot (Unix seconds) -> bytes


class Month(NamedTuple):
    """A billing month, Unix seconds."""

    begin_s: float
    end_s: float


class Forecast(NamedTuple):
    """`ends_at_bytes` None = too early to say. `reached_s`: when the limit would be reached, if that is this month."""

    month: Month
    used_bytes: int
    limit_bytes: int
    ends_at_bytes: float | None
    reached_s: float | None


class Allowance(NamedTuple):
    """Bits a second; infinite = no limit. Backfill's is within the whole."""

    total_bps: float
    backfill_bps: float


NO_LIMIT = Allowance(math.inf, math.inf)


def month_of(now_s: float, billing_day: int, zone: ZoneInfo | None) -> Month:
    """The billing month of a moment. It begins at local midnight of that day, or of the last day of a shorter month."""
    local = datetime.fromtimestamp(now_s, zone)
    begin = _begins(local.year, local.month, billing_day)
    if local.replace(tzinfo=None) < begin:
        before = local.replace(day=1, tzinfo=None) - timedelta(days=1)
        begin = _begins(before.year, before.month, billing_day)
    after = begin.replace(day=1) + timedelta(days=32)
    return Month(_unix(begin, zone), _unix(_begins(after.year, after.month, billing_day), zone))


def used(slots: Slots, month: Month) -> int:
    return sum(size for at, size in slots.items() if month.begin_s <= at < month.end_s)


def forecast(slots: Slots, month: Month, limit_bytes: int, now_s: float) -> Forecast:
    """How the month ends if it goes on as in the last day."""
    so_far = used(slots, month)
    since_s = max(min(slots, default=now_s), now_s - DAY_S)
    if now_s - since_s < EARLY_S:
        return Forecast(month, so_far, limit_bytes, None, None)
    rate = sum(size for at, size in slots.items() if at >= since_s) / (now_s - since_s)
    ends_at = so_far + rate * max(month.end_s - now_s, 0.0)
    reached_s = None
    if so_far >= limit_bytes:
        reached_s = now_s
    elif ends_at > limit_bytes:
        reached_s = now_s + (limit_bytes - so_far) / rate
    return Forecast(month, so_far, limit_bytes, ends_at, reached_s)


def allowance(slots: Slots, month: Month, limit_bytes: int, now_s: float) -> Allowance:
    """What may be sent now so that the month lasts.

    Measure is the even share, what is left over the time that is left. Who used less than that lately may send more,
    the more the less it was; who used more gets the even share, and no backfill, which so gives way before live does.
    It changes as slowly as the mean of use over a day does, and as what is left never runs out, nothing stops dead.
    """
    left = limit_bytes * (1 - RESERVE) - used(slots, month)
    if left <= 0:
        return Allowance(0.0, 0.0)
    even_bps = left * 8 / max(month.end_s - now_s, SLOT_S)
    lately_bps = _lately(slots, now_s) * 8
    if lately_bps <= 0:
        return NO_LIMIT
    more = min((even_bps / lately_bps) ** STEEP, MOST_OF_REST * max(month.end_s - now_s, SLOT_S) / 3600)
    return Allowance(even_bps * max(more, 1.0), even_bps * max(more - 1.0, 0.0))


def _lately(slots: Slots, now_s: float) -> float:
    """Bytes a second, weighted by exp(-age / day); what is before the first slot counts as nothing."""
    total = 0.0
    for at, size in slots.items():
        if now_s - 6 * DAY_S < at <= now_s:
            total += size * math.exp(-(now_s - at) / DAY_S)
    return total / DAY_S


def _begins(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, min(day, calendar.monthrange(year, month)[1]))


def _unix(local: datetime, zone: ZoneInfo | None) -> float:
    return local.replace(tzinfo=zone).timestamp()
