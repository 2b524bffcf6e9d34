"""What is forgotten is gone, what is not stays, and the account closes, also while a worker goes on committing."""

import asyncio
from itertools import count

import pytest
from support.commands import fishladder
from support.stores import wait_until

from fishladder.operate.forget import moment_us, take_out
from fishladder.runtime import commits, leases, state
from fishladder.runtime.ledger import read_ledger
from fishladder.runtime.store import Stores
from fishladder.wire import keys, result
from fishladder.wire.errors import ConfigError
from fishladder.wire.fates import Fate, Run
from fishladder.wire.ids import ORIGIN, Position, partition_of
from fishladder.wire.result import Detection, FrameResult, Result

CAMERA = "shop-7/door"
SECOND = 1_000_000


class Committing:
    """Commits one frame after the other, seq n captured at n seconds, with a person in each."""

    def __init__(self, stores: Stores) -> None:
        self.stores, self.partition = stores, partition_of(CAMERA, stores.partitions)
        self.last = 0

    async def begin(self) -> None:
        s, p = self.stores.state, self.partition
        await state.claim(s, p, CAMERA, boot="b", hello=1, epoch=0, position=1000, now_us=1)
        assert await leases.acquire_lease(s, p, "worker", 60_000)
        await self._commit(ORIGIN, Position(1, 0), [], b"")

    async def frame(self) -> None:
        seq = self.last + 1
        seen = FrameResult(seq, 0, seq * SECOND, [Detection("person", 0.9, 0.1, 0.1, 0.2, 0.2)])
        one = result.encode(Result(CAMERA, 1, seq, seq, [(int(Fate.INFERRED), seq, seq)], [seen]))
        await self._commit(Position(1, seq - 1), Position(1, seq), [Run(Fate.INFERRED, seq, seq)], one)
        self.last = seq

    async def _commit(self, start: Position, to: Position, runs: list[Run], one: bytes) -> None:
        told = {"token": "worker", "start": start, "to": to, "runs": runs, "result": one}
        done = await commits.commit(
            self.stores.state,
            self.partition,
            CAMERA,
            keep_bytes=10**7,
            keep_ms=10**7,
            **told,  # type: ignore[arg-type]
        )
        assert done == commits.Committed()

    async def kept(self) -> dict[int, int]:
        """seq -> detections, of all results in order."""
        entries = await self.stores.state.xrange(keys.results(self.partition, CAMERA))
        found = {}
        for _, fields in entries:
            one = result.decode(fields[b"r"])
            assert one.runs == [(int(Fate.INFERRED), one.first, one.last)]
            found[one.first] = len(one.frames[0].detections)
        return found

    async def size(self) -> tuple[int, int]:
        """Of the results: as counted for their bound, and as it is."""
        entries = await self.stores.state.xrange(keys.results(self.partition, CAMERA))
        counted = int(await self.stores.state.hget(keys.cursor(self.partition, CAMERA), "bytes") or 0)
        return counted, sum(len(fields[b"r"]) for _, fields in entries)


@pytest.fixture
async def committing(stores: Stores) -> Committing:
    it = Committing(stores)
    await it.begin()
    return it


async def test_a_span_of_time_is_emptied_and_nothing_else_changes(committing: Committing) -> None:
    for _ in range(30):
        await committing.frame()
    state_store = committing.stores.state
    ids = [entry_id for entry_id, _ in await state_store.xrange(keys.results(committing.partition, CAMERA))]
    assert await take_out(state_store, committing.partition, CAMERA, 10 * SECOND, 19 * SECOND) == 10
    assert await committing.kept() == {seq: int(not 10 <= seq <= 19) for seq in range(1, 31)}
    assert ids == [entry_id for entry_id, _ in await state_store.xrange(keys.results(committing.partition, CAMERA))]
    counted, real = await committing.size()
    assert counted == real
    assert await state_store.pttl(keys.results(committing.partition, CAMERA)) > 0
    assert not await state_store.exists(keys.forgetting(committing.partition, CAMERA))
    await committing.frame()
    found = await read_ledger(state_store, committing.partition, CAMERA, now_us=1)
    assert found.closes
    assert found.fates == {Fate.INFERRED: 31}


async def test_what_is_committed_meanwhile_is_kept(committing: Committing) -> None:
    for _ in range(50):
        await committing.frame()
    over = asyncio.Event()

    async def go_on() -> None:
        while not over.is_set():
            await committing.frame()
            await asyncio.sleep(0.02)  # as fast as a camera; at hundreds a second it is refused

    going = asyncio.create_task(go_on())
    try:
        for turn in count(1):
            await take_out(committing.stores.state, committing.partition, CAMERA, turn * SECOND, turn * SECOND)
            if turn == 10:
                break
        await wait_until(lambda: committing.last > 70)
    finally:
        over.set()
        await going
    kept = await committing.kept()
    assert list(kept) == list(range(1, committing.last + 1))
    assert [seq for seq, seen in kept.items() if not seen] == list(range(1, 11))


async def test_the_command(committing: Committing) -> None:
    for _ in range(5):
        await committing.frame()
    where = ("--redis", committing.stores.urls.state)
    done = await fishladder(
        "forget", CAMERA, "--from", "1970-01-01T00:00:02Z", "--to", "1970-01-01T00:00:03Z", "--yes", *where
    )
    assert (done.status, "in 2 frames" in done.out) == (0, True), done.err
    assert await committing.kept() == {1: 1, 2: 0, 3: 0, 4: 1, 5: 1}
    assert (await fishladder("forget", CAMERA, *where)).status != 0, "it asks, and nobody answers"
    done = await fishladder("forget", CAMERA, "--yes", *where)
    assert "in 3 frames" in done.out
    audited = await fishladder("ledger", CAMERA, "--audit", *where)
    assert audited.status == 0, audited.out + audited.err
    for words, said in (
        (("shop-7/none", "--yes"), "no camera shop-7/none"),
        ((CAMERA, "--from", "yesterday"), "'yesterday' is no time"),
        ((CAMERA, "--from", "2026-02-01", "--to", "2026-01-01"), "is after"),
        (("Shop",), "is not allowed"),
    ):
        done = await fishladder("forget", *words, *where)
        assert done.status == 2
        assert said in done.err


def test_moments() -> None:
    assert moment_us("1970-01-01T00:00:01.5Z", 0) == 1_500_000
    assert moment_us("1970-01-01T01:00+01:00", 0) == 0
    assert moment_us(None, 7) == 7
    with pytest.raises(ConfigError):
        moment_us("14:00", 0)
