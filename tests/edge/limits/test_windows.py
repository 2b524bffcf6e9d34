"""Windows of the week: they hold by the clock on the wall, also on days with 23 or 25 hours."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fishladder.edge.limits.limiter import holding
from fishladder.edge.limits.settings import LimitsConfig, WindowConfig
from fishladder.edge.limits.windows import Window, changes_at, window_at
from fishladder.wire.errors import ConfigError

BERLIN = "Europe/Berlin"
minute = st.integers(0, 24 * 60 - 1)
windows = st.lists(
    st.tuples(st.frozensets(st.integers(0, 6), min_size=1), minute, minute)
    .filter(lambda it: it[1] != it[2])
    .map(lambda it: Window(*it, 1e6)),
    max_size=4,
)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31))


def limits(*schedule: WindowConfig, max_up: str = "8M") -> LimitsConfig:
    return LimitsConfig(max_up=max_up, schedule=schedule, timezone=BERLIN)


def holds(config: LimitsConfig, utc: datetime) -> float:
    return holding(config, {}, utc.replace(tzinfo=UTC).timestamp()).total_bps


def test_the_first_window_that_holds_decides() -> None:
    config = limits(
        WindowConfig("none", days="sat,sun"), WindowConfig("2 Mbit/s", days="fri-mon", begins="08:00", ends="18:00")
    )
    assert holds(config, datetime(2026, 11, 27, 9)) == 2e6  # Friday, ten o'clock
    assert holds(config, datetime(2026, 11, 27, 17)) == 8e6
    assert holds(config, datetime(2026, 11, 28, 9)) == float("inf")
    assert holds(config, datetime(2026, 12, 1, 9)) == 8e6


def test_a_window_over_midnight_belongs_to_the_day_it_begins() -> None:
    night = limits(WindowConfig("1M", days="fri", begins="22:00", ends="06:00"))
    assert holds(night, datetime(2026, 11, 27, 22)) == 1e6
    assert holds(night, datetime(2026, 11, 28, 4, 59)) == 1e6
    assert holds(night, datetime(2026, 11, 28, 5)) == 8e6
    assert holds(night, datetime(2026, 11, 27, 4)) == 8e6


@pytest.mark.parametrize(
    ("utc", "bps"),
    [
        # Summer time begins at 01:00 UTC: 02:00 to 03:00 do not exist, opening hours stay where they are.
        (datetime(2026, 3, 28, 7), 1e6),
        (datetime(2026, 3, 28, 6, 59), 8e6),
        (datetime(2026, 3, 29, 6), 1e6),
        (datetime(2026, 3, 29, 5, 59), 8e6),
        # It ends at 01:00 UTC: 02:30 comes twice.
        (datetime(2026, 10, 25, 6, 59), 8e6),
        (datetime(2026, 10, 25, 7), 1e6),
    ],
)
def test_hours_stay_where_they_are_when_summer_time_begins_and_ends(utc: datetime, bps: float) -> None:
    assert holds(limits(WindowConfig("1M", begins="08:00", ends="18:00")), utc) == bps


def test_an_hour_that_does_not_exist_and_one_that_comes_twice() -> None:
    config = limits(WindowConfig("1M", begins="02:30", ends="03:30"))
    assert [holds(config, datetime(2026, 3, 29, 0, 59)), holds(config, datetime(2026, 3, 29, 1))] == [8e6, 1e6]
    twice = [datetime(2026, 10, 25, 0, 30), datetime(2026, 10, 25, 1, 30)]
    assert [holds(config, utc) for utc in twice] == [1e6, 1e6]


@settings(max_examples=20, deadline=None)
@given(windows, moments)
def test_what_is_announced_is_what_happens(some: list[Window], now: datetime) -> None:
    announced, at_present = changes_at(some, now), window_at(some, now)
    step = now.replace(second=0, microsecond=0)
    for _ in range(7 * 24 * 60):
        step += timedelta(minutes=1)
        if step == announced or window_at(some, step) is not at_present:
            break
    else:
        assert announced is None
        return
    assert step == announced


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (LimitsConfig(max_up="fast"), "expected a rate"),
        (LimitsConfig(max_up="2"), "at least 24 kbit/s"),
        (limits(WindowConfig("1M", days="mon-fry")), "expected days"),
        (limits(WindowConfig("1M", begins="8")), "expected a time of day"),
        (limits(WindowConfig("1M", begins="08:00", ends="08:00")), "no time at all"),
        (LimitsConfig(timezone="Mars/Olympus"), "timezone"),
        (LimitsConfig(monthly_gb=-1), "monthly_gb"),
        (LimitsConfig(billing_day=32), "billing_day"),
    ],
)
def test_mistakes_are_named(config: LimitsConfig, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.check()


@pytest.mark.parametrize(
    ("text", "bps"), [("4 Mbit/s", 4e6), ("800k", 8e5), ("2.5Mbps", 2.5e6), ("1 gbit", 1e9), ("64000", 64_000)]
)
def test_rates_as_people_write_them(text: str, bps: float) -> None:
    assert LimitsConfig(max_up=text).max_bps == bps


def test_why_is_said_with_its_end() -> None:
    config = limits(WindowConfig("1M", days="mon-fri", begins="08:00", ends="18:00"), max_up="")
    now = datetime(2026, 11, 25, 10, tzinfo=ZoneInfo(BERLIN)).timestamp()
    assert holding(config, {}, now).why == "the schedule: 1 Mbit/s until 18:00"
    night = datetime(2026, 11, 27, 20, tzinfo=ZoneInfo(BERLIN)).timestamp()
    assert holding(config, {}, night) == holding(LimitsConfig(timezone=BERLIN), {}, night)
