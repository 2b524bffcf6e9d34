"""Every reply of the state store's scripts, and what they leave behind."""

from dataclasses import replace
from typing import Any

import pytest
from redis.exceptions import ResponseError
from support.protocol import P, read_results
from support.runs import runs_after
from support.stores import wait_until

from fishladder.runtime import commits, leases, state, wanted
from fishladder.runtime.commits import Committed, CursorMoved, LeaseLost
from fishladder.runtime.ledger import read_ledger
from fishladder.runtime.state import Granted, StaleClaim, Superseded
from fishladder.runtime.store import Stores
from fishladder.wire import keys, result
from fishladder.wire.errors import StoreError
from fishladder.wire.fates import Fate
from fishladder.wire.ids import MAX_SEQ, ORIGIN, Position
from fishladder.wire.messages import Policy

CAMERA = "shop-7/door"
ALL = 1 << 40
NEW = Granted(1, ORIGIN, None, ())


async def claim(stores: Stores, boot: str = "boot", hello: int = 1, **options: Any) -> Any:
    options = {"epoch": 0, "position": 0, "now_us": 1000} | options
    return await state.claim(stores.state, P, CAMERA, boot=boot, hello=hello, **options)


async def commit(stores: Stores, start: Position, to: Position, counts: dict[Fate, int], **options: Any) -> Any:
    options = {"token": "t", "keep_bytes": ALL, "keep_ms": ALL} | options
    runs = runs_after(start, counts.items())
    return await commits.commit(stores.state, P, CAMERA, start=start, to=to, runs=runs, **options)


async def leased(stores: Stores) -> None:
    assert await leases.acquire_lease(stores.state, P, "t", 60_000)


async def fields(stores: Stores) -> dict[str, str]:
    found = await stores.state.hgetall(keys.camera(P, CAMERA))
    return {name.decode(): value.decode() for name, value in found.items()}


def a_result(first: int, last: int, epoch: int = 1, worker: str = "") -> bytes:
    runs = [(int(Fate.INFERRED), first, last)]
    return result.encode(result.Result(CAMERA, epoch, first, last, runs, worker=worker))


# -- claim ------------------------------------------------------------------------------------------------------------


async def test_a_camera_is_granted_its_first_epoch(stores: Stores) -> None:
    assert await claim(stores, position=5, meta=b'{"codec":"h264"}') == NEW
    assert await state.cameras(stores.state, P) == [CAMERA]
    assert await fields(stores) == {
        "epoch": "1", "boot": "boot", "hello": "1", "position": "5", "position_us": "1000", "meta": '{"codec":"h264"}'
    }  # fmt: skip


async def test_the_same_boot_keeps_its_epoch(stores: Stores) -> None:
    assert await claim(stores, hello=1) == NEW
    assert await claim(stores, hello=1) == NEW, "its gateway may try again"
    assert await claim(stores, hello=2) == NEW, "the welcome may have been lost"
    assert await claim(stores, hello=3, epoch=1) == NEW
    assert await claim(stores, hello=2) == StaleClaim()


async def test_another_boot_without_memory_begins_an_epoch(stores: Stores) -> None:
    await claim(stores, "one", position=7)
    assert await claim(stores, "two", position=3) == replace(NEW, epoch=2, earlier=(Position(1, 7),))
    assert (await fields(stores))["position"] == "3"
    assert await claim(stores, "one", 2, epoch=1) == Superseded(2)


async def test_another_boot_with_memory_goes_on(stores: Stores) -> None:
    await claim(stores, "one", position=7)
    assert await claim(stores, "two", epoch=1, position=9) == NEW
    assert (await fields(stores))["position"] == "9"


async def test_a_position_never_goes_back(stores: Stores) -> None:
    await claim(stores, position=7)
    await claim(stores, hello=2, epoch=1, position=3)
    assert (await fields(stores))["position"] == "7"
    await state.record_position(stores.state, P, CAMERA, Position(1, 5), 2000)
    assert (await fields(stores))["position"] == "7"
    assert (await fields(stores))["position_us"] == "2000"
    await state.record_position(stores.state, P, CAMERA, Position(1, 12), 3000)
    assert (await fields(stores))["position"] == "12"


@pytest.mark.parametrize("epoch", [1, 3])
async def test_a_position_of_another_epoch_is_ignored(stores: Stores, epoch: int) -> None:
    await claim(stores, "one")
    await claim(stores, "two", position=4)
    await state.record_position(stores.state, P, CAMERA, Position(epoch, 99), 5000)
    assert (await fields(stores))["position"] == "4"
    assert (await fields(stores))["position_us"] == "1000"


async def test_a_later_epoch_than_its_own_is_adopted(stores: Stores) -> None:
    """The state store went back; the agent did not."""
    await claim(stores, "one", position=7)
    assert await claim(stores, "two", epoch=4, position=9) == replace(NEW, epoch=4, earlier=(Position(1, 7),))


async def test_an_epoch_above_one_in_use_elsewhere(stores: Stores) -> None:
    """The frame store has an epoch that the state store has forgotten."""
    await claim(stores)
    assert await claim(stores, floor=6) == replace(NEW, epoch=7, earlier=(Position(1, 0),))
    assert await claim(stores, "other", epoch=8, floor=9) == Superseded(9)
    assert await claim(stores, "other", epoch=9, floor=9) == replace(
        NEW, epoch=9, earlier=(Position(1, 0), Position(7, 0))
    )


async def test_earlier_epochs_that_are_settled_are_not_told(stores: Stores) -> None:
    await claim(stores, "one", position=2)
    await claim(stores, "two", position=4)
    await leased(stores)
    await commit(stores, ORIGIN, Position(1, 0), {})
    await commit(stores, Position(1, 0), Position(1, 2), {Fate.LOG_LOST: 2})
    await commit(stores, Position(1, 2), Position(2, 0), {})
    assert "last:1" not in await fields(stores)
    assert await claim(stores, "three") == Granted(3, Position(2, 0), None, (Position(2, 4),))


async def test_a_policy_comes_with_the_grant(stores: Stores) -> None:
    policy = Policy(fps=2.5, analyse="keyframes")
    await wanted.set_policy(stores.state, P, CAMERA, policy)
    assert await claim(stores) == replace(NEW, policy=policy)


async def test_a_gateways_default_holds_until_a_policy_is_set(stores: Stores) -> None:
    first, later = Policy(fps=2.5), Policy(fps=9)
    assert await claim(stores, default_policy=first) == replace(NEW, policy=first)
    assert await claim(stores, hello=2, default_policy=later) == replace(NEW, policy=later)
    await wanted.set_policy(stores.state, P, CAMERA, first)
    assert await claim(stores, hello=3, default_policy=later) == replace(NEW, policy=first)
    assert await claim(stores, hello=4) == replace(NEW, policy=first)


async def test_a_stored_policy_that_cannot_be_is_said(stores: Stores) -> None:
    await stores.state.hset(keys.camera(P, CAMERA), "policy", '{"fps":0}')
    with pytest.raises(StoreError, match="the policy stored for shop-7/door cannot be"):
        await claim(stores)


# -- commit -----------------------------------------------------------------------------------------------------------


async def test_a_commit_settles_all_or_nothing(stores: Stores) -> None:
    await claim(stores, position=9)
    await leased(stores)
    assert await commit(stores, ORIGIN, Position(1, 0), {}) == Committed()
    counts = {Fate.INFERRED: 2, Fate.GATED: 3}
    assert await commit(stores, Position(1, 0), Position(1, 5), counts, result=a_result(1, 5)) == Committed()
    assert await commits.read_cursor(stores.state, P, CAMERA) == Position(1, 5)
    ledger = await read_ledger(stores.state, P, CAMERA, now_us=3_001_000)
    assert (ledger.captured, ledger.pending, ledger.fates) == (9, 4, {Fate.INFERRED: 2, Fate.GATED: 3})
    assert (ledger.closes, ledger.position_age_s) == (True, 3.0)
    assert [it.last for it in await read_results(stores.state, CAMERA)] == [5]


@pytest.mark.parametrize("token", ["another", ""])
async def test_a_commit_without_the_lease_writes_nothing(stores: Stores, token: str) -> None:
    await leased(stores)
    before = await stores.state.dbsize()
    assert await commit(stores, ORIGIN, Position(1, 0), {}, token=token) == LeaseLost()
    await stores.state.pexpire(keys.lease(P), 0)
    assert await commit(stores, ORIGIN, Position(1, 0), {}, result=a_result(1, 1)) == LeaseLost()
    assert await stores.state.dbsize() == before - 1


async def test_a_commit_from_elsewhere_than_the_cursor_writes_nothing(stores: Stores) -> None:
    await leased(stores)
    await commit(stores, ORIGIN, Position(1, 0), {})
    await commit(stores, Position(1, 0), Position(1, 3), {Fate.INFERRED: 3})
    for start in (ORIGIN, Position(1, 0), Position(1, 2), Position(1, 4), Position(2, 3)):
        to = Position(start.epoch, start.seq + 1)
        assert await commit(stores, start, to, {Fate.SHED: 1}, result=a_result(9, 9)) == CursorMoved(Position(1, 3))
    assert (await read_ledger(stores.state, P, CAMERA, now_us=1)).fates == {Fate.INFERRED: 3}
    assert await read_results(stores.state, CAMERA) == []


@pytest.mark.parametrize(
    ("to", "counts"),
    [
        (Position(1, 5), {Fate.INFERRED: 1}),  # too few
        (Position(1, 5), {Fate.INFERRED: 2, Fate.SHED: 1}),  # too many
        (Position(1, 5), {Fate.INFERRED: 3, Fate.SHED: -1}),  # the right sum of nonsense
        (Position(1, 5), {Fate.INFERRED: 2, Fate.SHED: 0}),
        (Position(1, 5), {}),
        (Position(1, 3), {}),  # goes nowhere
        (Position(1, 2), {Fate.INFERRED: -1}),  # goes back
        (Position(2, 0), {Fate.INFERRED: 1}),  # a step has no fates
        (Position(2, 1), {}),  # a step goes to seq 0
        (Position(2, 1), {Fate.INFERRED: 1}),
        (Position(0, 0), {}),  # to an earlier epoch
    ],
)
async def test_what_does_not_add_up_is_refused(stores: Stores, to: Position, counts: dict[Fate, int]) -> None:
    await leased(stores)
    await commit(stores, ORIGIN, Position(1, 0), {})
    await commit(stores, Position(1, 0), Position(1, 3), {Fate.INFERRED: 3})
    with pytest.raises(ResponseError, match="IMBALANCE"):
        await commit(stores, Position(1, 3), to, counts, result=a_result(4, 5))
    assert await commits.read_cursor(stores.state, P, CAMERA) == Position(1, 3)
    assert (await read_ledger(stores.state, P, CAMERA, now_us=1)).fates == {Fate.INFERRED: 3}
    assert await read_results(stores.state, CAMERA) == []


async def test_the_ledger_counts_closed_epochs(stores: Stores) -> None:
    await claim(stores, "one", position=3)
    await claim(stores, "two", position=10)
    await leased(stores)
    await commit(stores, ORIGIN, Position(1, 0), {})
    await commit(stores, Position(1, 0), Position(1, 5), {Fate.INFERRED: 5})  # more than was ever reported
    await commit(stores, Position(1, 5), Position(2, 0), {})
    await commit(stores, Position(2, 0), Position(2, 4), {Fate.SHED: 4})
    ledger = await read_ledger(stores.state, P, CAMERA, now_us=1000)
    assert (ledger.captured, ledger.pending, ledger.closes) == (15, 6, True)
    assert (ledger.group("inferred"), ledger.group("dropped"), ledger.group("skipped")) == (5, 4, 0)


async def test_commit_lease_claim_and_ledger_work_when_memory_is_full(stores: Stores) -> None:
    await stores.state.config_set("maxmemory", "1")
    assert await claim(stores, position=3) == NEW
    await state.record_position(stores.state, P, CAMERA, Position(1, 4), 2000)
    await leased(stores)
    assert await commit(stores, ORIGIN, Position(1, 0), {}) == Committed()
    counts = {Fate.INFERRED: 2}
    assert await commit(stores, Position(1, 0), Position(1, 2), counts, result=a_result(1, 2)) == Committed()
    ledger = await read_ledger(stores.state, P, CAMERA, now_us=2000)
    assert (ledger.captured, ledger.pending) == (4, 2)
    assert await leases.renew_lease(stores.state, P, "t", 60_000)
    assert await leases.release_lease(stores.state, P, "t")


async def test_the_largest_numbers_are_exact(stores: Stores) -> None:
    epoch = MAX_SEQ - 1
    assert await claim(stores, epoch=epoch, position=MAX_SEQ, floor=epoch) == replace(NEW, epoch=epoch)
    await leased(stores)
    await commit(stores, ORIGIN, Position(epoch, 0), {})
    first = {Fate.INFERRED: MAX_SEQ - 1}
    assert await commit(stores, Position(epoch, 0), Position(epoch, MAX_SEQ - 1), first) == Committed()
    ledger = await read_ledger(stores.state, P, CAMERA, now_us=1000)
    assert (ledger.captured, ledger.pending, ledger.fates) == (MAX_SEQ, 1, first)
    one = {Fate.SHED: 1}
    assert await commit(stores, Position(epoch, MAX_SEQ - 1), Position(epoch, MAX_SEQ), one) == Committed()
    assert await claim(stores, "two") == Granted(MAX_SEQ, Position(epoch, MAX_SEQ), None, (Position(epoch, MAX_SEQ),))


# -- results ----------------------------------------------------------------------------------------------------------


async def test_results_are_bounded_by_bytes(stores: Stores) -> None:
    await leased(stores)
    await commit(stores, ORIGIN, Position(1, 0), {})
    one = len(a_result(100, 100, worker="w" * 100))
    for seq in range(1, 100):
        body = a_result(seq + 100, seq + 100, worker="w" * 100)
        await commit(
            stores, Position(1, seq - 1), Position(1, seq), {Fate.INFERRED: 1}, result=body, keep_bytes=10 * one + 5
        )
    kept = await read_results(stores.state, CAMERA)
    assert [it.first - 100 for it in kept] == list(range(90, 100)), "the latest ten"
    held = sum([len(value[b"r"]) for _, value in await stores.state.xrange(keys.results(P, CAMERA))])
    assert int(await stores.state.hget(keys.cursor(P, CAMERA), "bytes") or 0) == held


async def test_a_result_larger_than_all_that_is_kept_is_kept_alone(stores: Stores) -> None:
    await leased(stores)
    await commit(stores, ORIGIN, Position(1, 0), {})
    for seq in (1, 2, 3):
        counts = {Fate.INFERRED: 1}
        await commit(stores, Position(1, seq - 1), Position(1, seq), counts, result=a_result(seq, seq), keep_bytes=10)
        assert [it.first for it in await read_results(stores.state, CAMERA)] == [seq]


async def test_results_are_bounded_by_age(stores: Stores) -> None:
    await leased(stores)
    await commit(stores, ORIGIN, Position(1, 0), {})
    # As if they had been committed an hour ago, for ever.
    for seq in range(1, 9):
        body = a_result(seq, seq)
        await stores.state.xadd(keys.results(P, CAMERA), {"r": body}, id=f"1000-{seq}")
        await stores.state.hincrby(keys.cursor(P, CAMERA), "bytes", len(body))
    counts = {Fate.INFERRED: 9}
    await commit(stores, Position(1, 0), Position(1, 9), counts, result=a_result(9, 9), keep_ms=60_000)
    assert [it.first for it in await read_results(stores.state, CAMERA)] == [9]
    assert int(await stores.state.hget(keys.cursor(P, CAMERA), "bytes") or 0) == len(a_result(9, 9))


async def test_results_of_a_camera_that_is_heard_of_no_more_go_as_well(stores: Stores) -> None:
    await leased(stores)
    await commit(stores, ORIGIN, Position(1, 0), {})
    await commit(stores, Position(1, 0), Position(1, 1), {Fate.INFERRED: 1}, result=a_result(1, 1), keep_ms=30)
    await wait_until(lambda: _gone(stores))
    await commit(stores, Position(1, 1), Position(1, 2), {Fate.INFERRED: 1}, result=a_result(2, 2))
    assert int(await stores.state.hget(keys.cursor(P, CAMERA), "bytes") or 0) == len(a_result(2, 2))
    assert await commits.read_cursor(stores.state, P, CAMERA) == Position(1, 2)


async def _gone(stores: Stores) -> bool:
    return not await stores.state.exists(keys.results(P, CAMERA))


# -- leases -----------------------------------------------------------------------------------------------------------


async def test_a_lease_is_one_workers_at_a_time(stores: Stores) -> None:
    assert await leases.acquire_lease(stores.state, P, "one", 60_000)
    assert not await leases.acquire_lease(stores.state, P, "two", 60_000)
    assert await leases.acquire_lease(stores.state, P, "one", 60_000), "asking again is no harm"
    assert not await leases.renew_lease(stores.state, P, "two", 60_000)
    assert not await leases.release_lease(stores.state, P, "two")
    assert await leases.renew_lease(stores.state, P, "one", 60_000)
    assert await leases.release_lease(stores.state, P, "one")
    assert not await leases.renew_lease(stores.state, P, "one", 60_000), "given up is given up"
    assert await leases.acquire_lease(stores.state, P, "two", 60_000)


async def test_a_lease_expires(stores: Stores) -> None:
    assert await leases.acquire_lease(stores.state, P, "one", 20)

    async def another_gets_it() -> bool:
        return await leases.acquire_lease(stores.state, P, "two", 60_000)

    await wait_until(another_gets_it)
    assert not await leases.renew_lease(stores.state, P, "one", 60_000)


async def test_renewing_extends_a_lease(stores: Stores) -> None:
    await leases.acquire_lease(stores.state, P, "one", 1_000)
    assert await leases.renew_lease(stores.state, P, "one", 60_000)
    assert await stores.state.pttl(keys.lease(P)) > 30_000
