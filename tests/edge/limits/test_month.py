"""A month's allowance: its bounds, the forecast, and that it lasts whatever is wanted, without ever stopping dead."""

import math
import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fishladder.edge.limits import words
from fishladder.edge.limits.month import DAY_S, SLOT_S, Month, allowance, forecast, month_of, used

UTC_ZONE = ZoneInfo("UTC")
GB = 1e9


def at(*moment: int, zone: str = "UTC") -> float:
    return datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp()  # type: ignore[arg-type,misc]


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2029, 1, 1)),
    st.integers(1, 31),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Chatham", "Africa/Cairo"]),
)
def test_every_moment_is_in_one_month_that_begins_on_its_day(now: datetime, day: int, zone: str) -> None:
    now_s = now.replace(tzinfo=UTC).timestamp()
    month = month_of(now_s, day, ZoneInfo(zone))
    assert month.begin_s <= now_s < month.end_s
    assert 27.9 < (month.end_s - month.begin_s) / DAY_S < 31.1
    local = datetime.fromtimestamp(month.begin_s, ZoneInfo(zone))
    assert local.day == day or (local + timedelta(days=1)).day == 1
    assert month.begin_s % SLOT_S == 0
    assert month_of(month.end_s, day, ZoneInfo(zone)).begin_s == month.end_s


def constant(rate_bytes_s: float, begin_s: float, end_s: float) -> dict[int, int]:
    return {slot: round(rate_bytes_s * SLOT_S) for slot in range(int(begin_s), int(end_s), SLOT_S)}


def test_the_forecast_says_when_it_is_over() -> None:
    now = at(2026, 11, 11)
    month = month_of(now, 1, UTC_ZONE)
    slots = constant(10 * GB / (10 * DAY_S), month.begin_s, now)  # 1 GB a day
    it = forecast(slots, month, round(22 * GB), now)
    assert it.used_bytes == pytest.approx(10 * GB, rel=1e-3)
    assert it.ends_at_bytes == pytest.approx(30 * GB, rel=1e-3)
    assert words.month(it, UTC_ZONE) == (
        "10 GB of 22 GB used since 1 Nov; at this rate the month ends at 30 GB; 22 GB reached on the 22nd"
    )
    enough = forecast(slots, month, round(40 * GB), now)
    assert enough.reached_s is None
    assert words.month(enough, UTC_ZONE) == "10 GB of 40 GB used since 1 Nov; at this rate the month ends at 30 GB"


def test_it_does_not_guess_from_the_first_minutes() -> None:
    now = at(2026, 11, 11)
    month = month_of(now, 1, UTC_ZONE)
    slots = {int(now) - SLOT_S: 10**9}
    it = forecast(slots, month, 10**10, now)
    assert it.ends_at_bytes is None
    assert "not known before an hour" in words.month(it, UTC_ZONE)


def test_nothing_is_limited_while_the_month_lasts() -> None:
    now = at(2026, 11, 16)
    month = month_of(now, 1, UTC_ZONE)
    slots = constant(0.2 * 30 * GB / (30 * DAY_S), month.begin_s, now)
    mean_bps = 30 * GB * 8 / (30 * DAY_S)
    assert allowance(slots, month, round(30 * GB), now).total_bps > 50 * mean_bps
    assert allowance({}, month, round(30 * GB), now).total_bps == math.inf


def test_backfill_gives_way_first() -> None:
    now = at(2026, 11, 16)
    month = month_of(now, 1, UTC_ZONE)
    before = (math.inf, math.inf)
    for share in (0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.1, 1.5, 1.9):
        even = 30 * GB * share / (30 * DAY_S)
        it = allowance(constant(even, month.begin_s, now), month, round(30 * GB), now)
        assert it.backfill_bps <= it.total_bps
        assert (it.total_bps, it.backfill_bps) <= before
        before = it
        if share >= 1.1:
            assert it.backfill_bps == 0
            assert it.total_bps > 0


def live_month(wanted_bps: list[float], limit_bytes: int, month: Month, rng: random.Random) -> tuple[list[float], int]:
    """A month of an agent that wants so much in each hour: what it was allowed, and the bytes it has used."""
    slots: dict[int, int] = {}
    allowed = []
    for hour, want in enumerate(wanted_bps):
        at_s = int(month.begin_s) + hour * 3600
        may = allowance(slots, month, limit_bytes, at_s).total_bps
        allowed.append(may)
        slots[at_s] = round(min(want, may) * rng.uniform(0.9, 1.02) * 3600 / 8)
    return allowed, used(slots, month)


@settings(max_examples=12, deadline=None)
@given(st.floats(0.5, 30.0), st.integers(0, 2**32))
def test_the_month_lasts_whatever_is_wanted(times: float, seed: int) -> None:
    month = month_of(at(2026, 12, 5), 1, UTC_ZONE)
    limit = round(20 * GB)
    even_bps = limit * 8 / (month.end_s - month.begin_s)
    rng = random.Random(seed)
    hours, days = [rng.uniform(0.05, 1) for _ in range(24)], [rng.uniform(0.2, 1) for _ in range(31)]
    shape = [hours[hour % 24] * days[hour // 24] for hour in range(31 * 24)]
    mean = sum(shape) / len(shape)
    allowed, used_bytes = live_month([even_bps * times * it / mean for it in shape], limit, month, rng)
    assert used_bytes <= limit
    # It is lowered, never stopped: also at the end there is a good part of an even day's.
    assert min(allowed) > 0.3 * even_bps
    # Smoothly: once it binds, an hour takes no more than half of it.
    falls = [after / before for before, after in pairwise(allowed[24:]) if before < 2 * even_bps]
    assert min(falls, default=1.0) > 0.5


def test_what_is_paid_for_is_used() -> None:
    month = month_of(at(2026, 12, 5), 1, UTC_ZONE)
    limit = round(20 * GB)
    even_bps = limit * 8 / (month.end_s - month.begin_s)
    shape = [3.0 if 7 <= hour % 24 < 20 else 0.5 for hour in range(31 * 24)]  # by day
    _, used_bytes = live_month([even_bps * it for it in shape], limit, month, random.Random(1))
    assert used_bytes > 0.85 * limit


def test_a_limit_that_is_used_up_already_holds() -> None:
    now = at(2026, 11, 16)
    month = month_of(now, 1, UTC_ZONE)
    slots = constant(1e6, month.begin_s, now)
    assert allowance(slots, month, 10**9, now) == (0.0, 0.0)
    assert "all of it is, until 1 Dec" in words.month(forecast(slots, month, 10**9, now), UTC_ZONE)
