"""The short mode of `make chaos`: some faults of the kinds that found most; and that a seed says all there is."""

from itertools import pairwise
from pathlib import Path

import pytest
from chaos.plan import RULES, Kind, schedule
from chaos.run import chaos, tell
from hypothesis import given
from hypothesis import strategies as st

#: One of each takes half a minute. What lasts beyond every time-out is for the long mode.
SHORT = (
    Kind.WORKER_KILLED,
    Kind.WORKER_PAUSED,
    Kind.GATEWAY_KILLED,
    Kind.GATEWAY_RESTARTED,
    Kind.AGENT_KILLED,
    Kind.LINK_CUT,
    Kind.LINK_DOWN_CUT,
    Kind.FRAMES_KILLED,
    Kind.FRAMES_WIPED,
    Kind.STATE_POWER_CUT,
    Kind.STATE_FULL,
    Kind.POISON,
)


@pytest.mark.timeout(400)
async def test_every_frame_has_one_fate_after_a_dozen_kinds_of_fault(tmp_path: Path) -> None:
    faults = schedule(7, len(SHORT), SHORT, every_s=1.5)
    outcome = await chaos(faults, tmp_path / "chaos.jsonl")
    tell(outcome, 7)
    assert outcome.problems == []
    assert outcome.captured > 100
    assert (outcome.duplicates, outcome.unaccounted) == (0, 0)


@given(st.integers(0, 10_000), st.integers(1, 120))
def test_a_schedule_is_its_seed(seed: int, count: int) -> None:
    faults = schedule(seed, count)
    assert faults == schedule(seed, count)
    assert len(faults) == count
    assert all(before.at_s <= after.at_s for before, after in pairwise(faults))
    if count >= len(Kind):
        assert {fault.kind for fault in faults} == set(Kind)
    for target in {fault.target for fault in faults}:
        its = [fault for fault in faults if fault.target == target]
        assert all(before.at_s + before.for_s < after.at_s for before, after in pairwise(its))
        assert all(target in RULES[fault.kind].targets for fault in its)
