"""What the live lane defers and the backfill lane settles: each seq once, against plain sets of numbers."""

import random
from itertools import pairwise

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError
from support.protocol import P, read_results

from fishladder.runtime import commits, frames, leases, state
from fishladder.runtime.commits import Committed, LeaseLost, NotOpen, Settled
from fishladder.runtime.frames import Appended, Status
from fishladder.runtime.ledger import read_ledger
from fishladder.runtime.state import Behind, Granted
from fishladder.runtime.store import Stores
from fishladder.wire import keys, result
from fishladder.wire.errors import WireError
from fishladder.wire.fates import Fate, Run
from fishladder.wire.ids import ORIGIN, Position
from fishladder.wire.open_set import OpenRange, count, parse

CAMERA = "shop-7/door"
ALL = 1 << 40


async def ready(stores: Stores) -> None:
    """A camera of epoch 1 with 1000 captured seqs, whose partition we hold."""
    await state.claim(stores.state, P, CAMERA, boot="boot", hello=1, epoch=0, position=1000, now_us=1)
    assert await leases.acquire_lease(stores.state, P, "t", 60_000)
    await commit(stores, ORIGIN, Position(1, 0))


async def commit(stores: Stores, start: Position, to: Position, *runs: Run) -> object:
    return await commits.commit(
        stores.state,
        P,
        CAMERA,
        token="t",
        start=start,
        to=to,
        runs=runs,
        keep_bytes=ALL,
        keep_ms=ALL,
    )


async def settle(stores: Stores, *runs: Run, epoch: int = 1, token: str = "t", body: bytes = b"") -> object:
    return await commits.settle(
        stores.state, P, CAMERA, token=token, epoch=epoch, runs=runs, result=body, keep_bytes=ALL, keep_ms=ALL
    )


async def test_what_is_deferred_is_pending_until_it_is_settled(stores: Stores) -> None:
    await ready(stores)
    runs = (Run(Fate.INFERRED, 1, 10), Run(Fate.DEFERRED, 11, 90), Run(Fate.SAMPLED_OUT, 91, 100))
    assert await commit(stores, Position(1, 0), Position(1, 100), *runs) == Committed()
    ledger = await read_ledger(stores.state, P, CAMERA, now_us=1)
    assert (ledger.captured, ledger.pending, ledger.deferred) == (1000, 980, 80)
    assert ledger.fates == {Fate.INFERRED: 10, Fate.SAMPLED_OUT: 10}

    runs = [(int(Fate.INFERRED), 11, 20), (int(Fate.SPOOL_FULL), 41, 90)]
    body = result.encode(result.Result(CAMERA, 1, 11, 90, runs, lane="backfill"))
    kept = await settle(stores, Run(Fate.INFERRED, 11, 20), Run(Fate.SPOOL_FULL, 41, 90), body=body)
    assert kept == Settled((OpenRange(1, 21, 40),))
    ledger = await read_ledger(stores.state, P, CAMERA, now_us=1)
    assert ledger.closes
    assert (ledger.pending, ledger.deferred) == (920, 20)
    assert ledger.fates == {Fate.INFERRED: 20, Fate.SAMPLED_OUT: 10, Fate.SPOOL_FULL: 50}
    assert [it.lane for it in await read_results(stores.state, CAMERA)] == ["backfill"]


async def test_nothing_is_settled_twice_or_before_its_time(stores: Stores) -> None:
    await ready(stores)
    await commit(stores, Position(1, 0), Position(1, 10), Run(Fate.DEFERRED, 1, 10))
    still = NotOpen((OpenRange(1, 1, 10),))
    assert await settle(stores, Run(Fate.INFERRED, 5, 11)) == still
    assert await settle(stores, Run(Fate.INFERRED, 5, 5), epoch=2) == still
    assert await settle(stores, Run(Fate.INFERRED, 5, 6), Run(Fate.INFERRED, 6, 7)) == still
    assert await settle(stores, Run(Fate.INFERRED, 1, 1), token="another") == LeaseLost()
    assert await settle(stores, Run(Fate.INFERRED, 1, 10)) == Settled(())
    assert await settle(stores, Run(Fate.INFERRED, 1, 10)) == NotOpen(())
    assert (await read_ledger(stores.state, P, CAMERA, now_us=1)).fates == {Fate.INFERRED: 10}


async def test_a_commit_whose_deferred_ranges_do_not_add_up_is_refused(stores: Stores) -> None:
    await ready(stores)
    for deferred in ((), ((1, 9),), ((1, 5), (5, 10))):
        with pytest.raises(ResponseError, match="IMBALANCE"):
            await commit(stores, Position(1, 0), Position(1, 10), *(Run(Fate.DEFERRED, *it) for it in deferred))
    assert await commits.read_open(stores.state, P, CAMERA) == ()


@pytest.mark.parametrize("seed", range(8))
async def test_any_order_of_deferring_and_settling_settles_each_seq_once(stores: Stores, seed: int) -> None:
    rng = random.Random(seed)
    await ready(stores)
    cursor, epoch, still, settled = Position(1, 0), 1, set[tuple[int, int]](), 0
    for _ in range(60):
        if rng.random() < 0.1:
            epoch += 1
            assert await commit(stores, cursor, Position(epoch, 0)) == Committed()
            cursor = Position(epoch, 0)
        elif rng.random() < 0.5:
            cuts = sorted(rng.sample(range(1, 40), 4))
            to = Position(epoch, cursor.seq + cuts[3])
            ends = (cursor.seq, *(cursor.seq + cut for cut in cuts))
            fates = (Fate.SHED, Fate.DEFERRED, Fate.SHED, Fate.DEFERRED)
            runs = [Run(fate, before + 1, last) for fate, (before, last) in zip(fates, pairwise(ends), strict=True)]
            assert await commit(stores, cursor, to, *runs) == Committed()
            deferred = [(run.first, run.last) for run in runs if run.fate is Fate.DEFERRED]
            cursor = to
            still |= {(epoch, seq) for first, last in deferred for seq in range(first, last + 1)}
        elif still:
            at, wanted = rng.choice(sorted(still)), sorted(seq for e, seq in still if e == epoch)
            at_epoch, first = at
            last = first + rng.randrange(6)
            runs = [Run(Fate.INFERRED, first, last)]
            if at_epoch == epoch and wanted[-1] > last + 1:
                runs.append(Run(Fate.SHED, wanted[-1], wanted[-1]))
            asked = {(at_epoch, seq) for run in runs for seq in range(run.first, run.last + 1)}
            outcome = await settle(stores, *runs, epoch=at_epoch)
            assert isinstance(outcome, Settled) == (asked <= still), (outcome, runs)
            if isinstance(outcome, Settled):
                still -= asked
                settled += len(asked)
        ranges = await commits.read_open(stores.state, P, CAMERA)
        assert {(it.epoch, seq) for it in ranges for seq in range(it.first, it.last + 1)} == still
        assert all((a.epoch, a.last) < (b.epoch, b.first) for a, b in pairwise(ranges))
        ledger = await read_ledger(stores.state, P, CAMERA, now_us=1)
        assert ledger.closes
        assert ledger.deferred == count(ranges) == len(still)


async def test_what_is_deferred_can_be_settled_when_memory_is_full(stores: Stores) -> None:
    await ready(stores)
    await stores.state.config_set("maxmemory", "1")
    await commit(stores, Position(1, 0), Position(1, 10), Run(Fate.DEFERRED, 1, 10))
    assert await settle(stores, Run(Fate.INFERRED, 1, 10), body=b"{}") == Settled(())


async def test_a_claim_tells_what_is_open(stores: Stores) -> None:
    await ready(stores)
    await commit(stores, Position(1, 0), Position(1, 10), Run(Fate.DEFERRED, 1, 10))
    granted = await state.claim(stores.state, P, CAMERA, boot="next", hello=1, epoch=0, position=0, now_us=1)
    assert granted == Granted(2, Position(1, 10), None, (Position(1, 1000),), (OpenRange(1, 1, 10),))


async def test_an_agent_that_remembers_less_than_was_seen_needs_a_new_epoch(stores: Stores) -> None:
    await ready(stores)
    asked = {"hello": 1, "epoch": 1, "now_us": 1}
    assert await state.claim(stores.state, P, CAMERA, boot="restored", position=999, **asked) == Behind(1000)
    assert isinstance(await state.claim(stores.state, P, CAMERA, boot="back", position=1000, **asked), Granted)


def test_an_open_set_reads_as_it_is_kept() -> None:
    ranges = (OpenRange(1, 5, 9), OpenRange(2, 1, 1))
    assert parse(" ".join(map(str, ranges))) == ranges
    assert parse(None) == parse(b"") == ()
    for bad in ("1:2", "1-2", "1:2-x", "a:1-2", "\xff"):
        with pytest.raises(WireError, match="open range"):
            parse(bad)


# -- the backfill lane's entries --------------------------------------------------------------------------------------


async def opened(stores: Stores, session: str, hello: int = 1) -> None:
    await frames.open_log(
        stores.frames,
        P,
        CAMERA,
        boot="boot",
        hello=hello,
        session=session,
        epoch=1,
        remembers=True,
        cursor=ORIGIN,
        rewind_to=1,
    )


async def filled(stores: Stores) -> list[bytes]:
    return [fields[b"u"] for _, fields in await stores.frames.xrange(keys.backfill(P, CAMERA))]


async def test_a_repeated_write_adds_nothing_and_a_gap_is_said(stores: Stores) -> None:
    await opened(stores, "s1")

    async def fill(number: int, *values: bytes, session: str = "s1") -> Appended:
        return await frames.fill(stores.frames, P, CAMERA, session, number, [(b"u", value) for value in values])

    assert await fill(1, b"a", b"b") == Appended(Status.ACCEPTED, 3)
    assert await fill(1, b"a", b"b") == Appended(Status.DUPLICATE, 3)
    assert await fill(2, b"b", b"c") == Appended(Status.ACCEPTED, 4)
    assert await fill(5, b"e") == Appended(Status.GAP, 4)
    assert await fill(4, b"d", session="s0") == Appended(Status.FENCED, 0)
    assert await filled(stores) == [b"a", b"b", b"c"]


async def test_a_new_session_begins_an_empty_lane_with_later_ids(stores: Stores) -> None:
    await opened(stores, "s1")
    await frames.fill(stores.frames, P, CAMERA, "s1", 1, [(b"u", b"old")])
    [(before, _)] = await stores.frames.xrange(keys.backfill(P, CAMERA))
    await opened(stores, "s2", hello=2)
    assert await filled(stores) == []
    assert (await frames.fill(stores.frames, P, CAMERA, "s2", 1, [(b"u", b"new")])).status is Status.ACCEPTED
    [(after, _)] = await stores.frames.xrange(keys.backfill(P, CAMERA))
    assert tuple(map(int, after.split(b"-"))) > tuple(map(int, before.split(b"-")))


async def test_a_full_store_takes_no_backfill_and_nothing_of_it(stores: Stores) -> None:
    await opened(stores, "s1")
    await stores.frames.config_set("maxmemory", "1")
    with pytest.raises(OutOfMemoryError):
        await frames.fill(stores.frames, P, CAMERA, "s1", 1, [(b"u", b"a")])
    await stores.frames.config_set("maxmemory", "0")
    assert (await frames.fill(stores.frames, P, CAMERA, "s1", 1, [(b"u", b"a")])).next == 2
