"""Limits and forecasts in words, for logs, `edge check` and `status`. Pure."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from fishladder.edge.limits.month import Allowance, Forecast


def rate(bps: float) -> str:
    return f"{bps / 1e6:.3g} Mbit/s" if bps >= 1e6 else f"{bps / 1e3:.3g} kbit/s"


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.3g} GB"


def by_clock(max_bps: float, *, scheduled: bool, until: datetime | None, now: datetime) -> str:
    what = "the schedule" if scheduled else "max_up"
    return f"{what}: {rate(max_bps)}{f' until {moment(until, now)}' if until is not None else ''}"


def by_month(left: Allowance) -> str:
    if left.total_bps <= 0:
        return "the month's allowance: it is used up, so that nothing is sent"
    none = ", nothing of the spool" if left.backfill_bps <= 0 else ""
    return f"the month's allowance: {rate(left.total_bps)}{none}, so that it lasts"


def moment(at: datetime, now: datetime) -> str:
    """A local time within a week."""
    return f"{at:%H:%M}" if at - now < timedelta(hours=20) else f"{at:%a %H:%M}"


def month(it: Forecast, zone: ZoneInfo | None) -> str:
    """`3.2 GB of 20 GB used since 1 Nov; at this rate the month ends at 31 GB; 20 GB reached on the 23rd`."""
    since = datetime.fromtimestamp(it.month.begin_s, zone)
    limit = gigabytes(it.limit_bytes)
    said = f"{gigabytes(it.used_bytes)} of {limit} used since {since.day} {since:%b}"
    if it.used_bytes >= it.limit_bytes:
        ends = datetime.fromtimestamp(it.month.end_s, zone)
        return f"{said}: all of it is, until {ends.day} {ends:%b}"
    if it.ends_at_bytes is None:
        return f"{said}; how it ends is not known before an hour has passed"
    said += f"; at this rate the month ends at {gigabytes(it.ends_at_bytes)}"
    if it.reached_s is not None:
        said += f"; {limit} reached on the {_ordinal(datetime.fromtimestamp(it.reached_s, zone).day)}"
    return said


def _ordinal(day: int) -> str:
    ending = "th" if 10 <= day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"
