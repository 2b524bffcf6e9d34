"""The short mode of `make chaos`: some faults of the kinds that found most; that a seed says all there is; and that no
loss hides behind a fault that did not cause it.
"""

import asyncio
import os
import sys
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest
from chaos.plan import RULES, Kind, schedule
from chaos.run import chaos, tell
from chaos.verdict import Loss, unacceptable
from chaos.witness import Seen
from hypothesis import given
from hypothesis import strategies as st
from support.links import MARK, marked, namespaces_of, within
from support.stores import wait_until

from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position

RUN = Path(__file__).parent / "run.py"
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


async def test_when_it_is_told_to_stop_nothing_of_it_is_left(tmp_path: Path) -> None:
    mark = uuid4().hex
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(RUN), "--faults", "50", "--log", str(tmp_path / "chaos.jsonl"),
        env={**os.environ, MARK: mark, "TMPDIR": str(tmp_path)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    while b"50 faults over" not in (line := await process.stdout.readline()):
        assert line, "it ended before it began"
    spaces = namespaces_of(marked(mark))
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 60) == 130
    await wait_until(lambda: not marked(mark) and not within(spaces), timeout=10)
    assert not await asyncio.to_thread(lambda: list(tmp_path.glob("flc-*")))


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


def test_poison_costs_its_unit_and_those_that_refer_to_it_and_no_other() -> None:
    """Entry points at 1, 9, 17; poison at 4 and 12, of which only 4 was set aside, in one camera."""
    units = {Position(1, seq): Seen(seq % 8 == 1, seq in (4, 12)) for seq in range(1, 25)}
    seen = {"shop/door": units, "shop/till": units}

    aside = {"shop/door": {Position(1, 4), Position(1, 5)}, "shop/till": set[Position]()}

    def judged(*losses: Loss, hit: tuple[Kind, ...] = (Kind.POISON,)) -> list[tuple[str, int, str]]:
        bad = unacceptable(losses, seen, aside, hit)
        return [(loss.camera, loss.first, loss.fate.label) for loss in bad]

    given_up = Loss("shop/door", 1, 4, 4, Fate.UNDECODABLE)
    assert judged(given_up, Loss("shop/door", 1, 5, 8, Fate.NO_REFERENCE)) == []
    assert judged(Loss("shop/door", 1, 7, 8, Fate.NO_REFERENCE)) == [], "it was context"
    assert judged(given_up, Loss("shop/door", 1, 8, 9, Fate.NO_REFERENCE)) == [("shop/door", 9, "no_reference")]
    assert judged(given_up, Loss("shop/door", 1, 13, 13, Fate.NO_REFERENCE)) == [("shop/door", 13, "no_reference")]
    assert judged(given_up, Loss("shop/till", 1, 5, 5, Fate.NO_REFERENCE)) == [("shop/till", 5, "no_reference")]
    assert judged(Loss("shop/door", 1, 4, 5, Fate.UNDECODABLE)) == [("shop/door", 5, "undecodable")]
    assert judged(Loss("shop/door", 2, 4, 4, Fate.UNDECODABLE)) == [("shop/door", 4, "undecodable")], "never seen"
    assert judged(Loss("shop/door", 1, 3, 3, Fate.SPOOL_FULL)) == [("shop/door", 3, "spool_full")]
    assert judged(Loss("shop/door", 1, 3, 3, Fate.SPOOL_FULL), hit=(Kind.DISK_FULL,)) == []
    assert judged(Loss("shop/door", 1, 3, 3, Fate.SHED), hit=tuple(Kind)) == [("shop/door", 3, "shed")]
