"""Figures in words, the same wherever they are shown: durations, sizes, rates, and a finding as a sentence."""

from datetime import datetime

from fishladder.view.models import Finding
from fishladder.wire.messages import MonthStatus


def duration(seconds: float) -> str:
    """`9 s`, `12 min`, `11 h`, `3 days`: one unit, at least two of it where there are."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def rate(bps: float | None) -> str:
    if bps is None:
        return "unknown"
    return f"{bps / 1e6:.1f} Mbit/s" if bps >= 1e6 else f"{bps / 1e3:.0f} kbit/s"


def size(count: float) -> str:
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count:.0f} B"


def month(it: MonthStatus) -> str:
    """How an uplink's billing month goes, with the reader's dates."""
    said = f"{size(it.used_bytes)} of the month's {size(it.limit_bytes)}"
    if it.forecast_bytes is not None:
        said += f", ends at {size(it.forecast_bytes)} at this rate"
    if it.reached_ms is not None:
        said += f", used up on {datetime.fromtimestamp(it.reached_ms / 1000).astimezone():%d %b}"
    return said


def count(number: int, what: str) -> str:
    """`1 frame`, `5 frames`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def sentence(finding: Finding, now_ms: int) -> str:
    """A finding as a terminal shows it, with local times; the day is named where it is not today's."""
    since = ""
    if finding.since_ms is not None:
        at, now = (datetime.fromtimestamp(ms / 1000).astimezone() for ms in (finding.since_ms, now_ms))
        since = f" since {at:%H:%M}" if at.date() == now.date() else f" since {at:%d %b %H:%M}"
    return f"{finding.what}{since}{finding.more}"
