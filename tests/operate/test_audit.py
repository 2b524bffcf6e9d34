"""`fishladder ledger --audit`: an account that is sound stays so whatever was trimmed, and whatever is not is named."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import clips
from support.commands import fishladder
from support.logged import Producer

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.held import HeldUnit
from fishladder.edge.spool.store import Life, SpoolStore
from fishladder.operate.audit import audit
from fishladder.operate.recount import FateMap, Finding, Recount, Standing
from fishladder.runtime import commits, leases, state
from fishladder.runtime.store import Stores
from fishladder.view.reader import StateReader
from fishladder.wire import keys, result
from fishladder.wire.fates import Fate, Run
from fishladder.wire.ids import ORIGIN, Position, partition_of
from fishladder.wire.open_set import OpenRange
from fishladder.wire.unit import Codec, Flag

CAMERA = "shop-7/door"
ALL = 1 << 40
FATES = (Fate.INFERRED, Fate.SAMPLED_OUT, Fate.SHED, Fate.DEFERRED)


class Committing:
    """Commits and settles at random, as workers might, with results trimmed to `keep_bytes`."""

    def __init__(self, stores: Stores, seed: int, keep_bytes: int) -> None:
        self.stores = stores
        self.rng = random.Random(seed)
        self.keep_bytes = keep_bytes
        self.partition = partition_of(CAMERA, stores.partitions)
        self.cursor = ORIGIN

    async def begin(self) -> None:
        await state.claim(self.stores.state, self.partition, CAMERA, boot="b", hello=1, epoch=0, position=0, now_us=1)
        assert await leases.acquire_lease(self.stores.state, self.partition, "t", 600_000)
        await self.commit(Position(1, 0))

    async def commit(self, to: Position, *runs: Run) -> None:
        done = await commits.commit(
            self.stores.state, self.partition, CAMERA, token="t", start=self.cursor, to=to, runs=runs,
            result=a_result(to.epoch, runs) if runs else b"", keep_bytes=self.keep_bytes, keep_ms=ALL,
        )  # fmt: skip
        assert done == commits.Committed()
        self.cursor = to

    async def settle(self, epoch: int, *runs: Run) -> None:
        done = await commits.settle(
            self.stores.state, self.partition, CAMERA, token="t", epoch=epoch, runs=runs,
            result=a_result(epoch, runs, keys.BACKFILL), keep_bytes=self.keep_bytes, keep_ms=ALL,
        )  # fmt: skip
        assert isinstance(done, commits.Settled)

    async def step(self) -> None:
        """One commit of some kind."""
        rng, at = self.rng, self.cursor
        opened = await commits.read_open(self.stores.state, self.partition, CAMERA)
        if rng.random() < 0.1:
            await self.commit(Position(at.epoch + rng.randint(1, 2), 0))
        elif opened and rng.random() < 0.5:
            it = rng.choice(opened)
            first = rng.randint(it.first, it.last)
            middle = rng.randint(first, it.last)
            runs = [Run(Fate.INFERRED, first, middle)]
            if middle < it.last:
                runs.append(Run(Fate.SPOOL_FULL, it.last, it.last))
            await self.settle(it.epoch, *runs)
        else:
            runs, seq = [], at.seq
            for _ in range(rng.randint(1, 4)):
                runs.append(Run(rng.choice(FATES), seq + 1, seq + rng.randint(1, 9)))
                seq = runs[-1].last
            await self.commit(Position(at.epoch, seq), *runs)

    async def findings(self) -> list[str]:
        reader = StateReader(self.stores.state, self.stores.partitions, self.stores.urls.state)
        [found] = await audit(reader, [CAMERA], self.stores.urls.frames)
        return [str(finding) for finding in found.findings]

    @property
    def results(self) -> str:
        return keys.results(self.partition, CAMERA)


def a_result(epoch: int, runs: tuple[Run, ...], lane: str = keys.LIVE) -> bytes:
    told = [(int(run.fate), run.first, run.last) for run in runs]
    return result.encode(result.Result(CAMERA, epoch, runs[0].first, runs[-1].last, told, lane=lane))


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_was_trimmed_the_audit_closes(stores: Stores, seed: int) -> None:
    it = Committing(stores, seed, keep_bytes=(0, 400, 3000)[seed % 3])
    await it.begin()
    for number in range(120):
        await it.step()
        if number % 40 == 25:
            await stores.state.delete(it.results)  # as when they expire together
        if number % 8 == 0:
            assert await it.findings() == []
    assert await it.findings() == []


async def test_results_of_a_version_without_checkpoints_are_left_out(stores: Stores) -> None:
    it = Committing(stores, 1, keep_bytes=500)
    await it.begin()
    for _ in range(30):
        await it.step()
    await stores.state.delete(keys.checkpoint(it.partition, CAMERA))
    for _ in range(30):
        await it.step()
        assert await it.findings() == []


@pytest.mark.parametrize("seed", range(6))
async def test_a_result_that_is_gone_is_missed(stores: Stores, seed: int) -> None:
    it = Committing(stores, seed, keep_bytes=ALL)
    await it.begin()
    for _ in range(40):
        await it.step()
    entries = await stores.state.xrange(it.results)
    entry_id, fields = entries[seed * len(entries) // 6]
    await stores.state.xdel(it.results, entry_id)
    gone = result.decode(fields[b"r"])
    findings = await it.findings()
    assert any(f"{gone.epoch}-" in finding for finding in findings), (gone, findings)
    done = await fishladder("ledger", "--audit", "--redis", stores.urls.state, "--frames", stores.urls.frames)
    assert done.status == 1
    assert done.err == f"fishladder: the audit of {CAMERA} does not close\n"
    assert findings[0] in done.out
    assert "NO, " in done.out


async def test_a_count_that_was_changed_is_named(stores: Stores) -> None:
    it = Committing(stores, 3, keep_bytes=ALL)
    await it.begin()
    await it.commit(Position(1, 10), Run(Fate.INFERRED, 1, 10))
    await stores.state.hincrby(keys.ledger(it.partition, CAMERA), "main/inferred", 2)
    assert "the ledger says 12 inferred, its results add up to 10" in await it.findings()


async def test_what_is_pending_is_found_where_it_waits(stores: Stores) -> None:
    producer = Producer(stores, CAMERA)

    producer.capture(clips.plain())
    await producer.send(40)
    await producer.report()
    done = await fishladder("ledger", "--audit", "--json", "--redis", stores.urls.state, "--frames", stores.urls.frames)
    assert done.status == 0, done.err
    [camera] = json.loads(done.out)["cameras"]
    assert camera["findings"] == []
    assert (camera["captured"], camera["pending"]) == (60, 60)
    assert (camera["pending_in_log"], camera["pending_with_agent"]) == (40, 20)


def live(*runs: Run, epoch: int = 1) -> result.Result:
    return result.decode(a_result(epoch, runs))


def backfill(*runs: Run, epoch: int = 1) -> result.Result:
    return result.decode(a_result(epoch, runs, keys.BACKFILL))


SEEN, LATER, SHED = Fate.INFERRED, Fate.DEFERRED, Fate.SHED
SOUND = Standing()


def at(seq: int, counts: dict[Fate, int], *opened: OpenRange, epoch: int = 1, closed: int = 0) -> Standing:
    return Standing(Position(epoch, seq), opened, counts, closed)


@pytest.mark.parametrize(
    ("begin", "results", "now", "named"),
    [
        (
            SOUND,
            [live(Run(SEEN, 1, 5)), live(Run(SEEN, 5, 8))],
            at(8, {SEEN: 9}),
            "1-5: inferred twice",
        ),
        (
            SOUND,
            [live(Run(SEEN, 1, 5)), live(Run(SHED, 4, 8))],
            at(8, {SEEN: 5, SHED: 5}),
            "1-4..5: both inferred and shed",
        ),
        (
            SOUND,
            [live(Run(SEEN, 2, 5))],
            at(5, {SEEN: 4}),
            "1-1: passed over, and no result says what became of it",
        ),
        (
            SOUND,
            [live(Run(SEEN, 1, 5))],
            at(7, {SEEN: 5}),
            "1-6..7: committed, and no result says what became of it",
        ),
        (
            SOUND,
            [live(Run(SEEN, 1, 5))],
            at(4, {SEEN: 5}),
            "results go up to 1-5, though the cursor stands at 1-4",
        ),
        (
            SOUND,
            [live(Run(LATER, 1, 5)), backfill(Run(SEEN, 2, 3))],
            at(5, {SEEN: 2}, OpenRange(1, 4, 5)),
            "1-1: deferred and no longer open, and no result says what became of it",
        ),
        (
            SOUND,
            [live(Run(LATER, 1, 5)), backfill(Run(SEEN, 1, 3)), backfill(Run(SEEN, 3, 5))],
            at(5, {SEEN: 6}),
            "1-3: inferred twice",
        ),
        (
            SOUND,
            [live(Run(SEEN, 1, 5))],
            at(5, {SEEN: 5}, OpenRange(1, 2, 3)),
            "1-2..3: open, though it has its fate or was never deferred",
        ),
        (
            at(9, {}, epoch=3),
            [backfill(Run(SEEN, 2, 3), epoch=2)],
            at(9, {SEEN: 2}, epoch=3),
            "2-2..3: inferred by backfill, though it was not deferred: it had its fate before",
        ),
        (
            at(4, {SEEN: 4}),
            [live(Run(SEEN, 1, 2), epoch=2)],
            at(2, {SEEN: 6}, epoch=2, closed=3),
            "the ledger says 3 seqs of epochs that are over, its results 4",
        ),
    ],
)
def test_each_way_to_be_unsound_is_named(
    begin: Standing, results: list[result.Result], now: Standing, named: str
) -> None:
    recount = Recount(begin)
    for one in results:
        recount.add(one)
    assert [str(finding) for finding in recount.findings(now)] == [named]


def test_findings_are_told_by_epoch_and_seqs() -> None:
    assert str(Finding("lost", 3, 7, 7)) == "3-7: lost"
    assert str(Finding("lost", 3, 7, 9)) == "3-7..9: lost"
    assert str(Finding("a sum")) == "a sum"


@given(st.lists(st.tuples(st.sampled_from(FATES), st.integers(1, 40), st.integers(0, 12)), max_size=30))
def test_a_fate_map_is_what_a_plain_dict_would_be(puts: list[tuple[Fate, int, int]]) -> None:
    fates, plain = FateMap(), dict[int, Fate]()
    for fate, first, more in puts:
        had = fates.put(Run(fate, first, first + more))
        seqs = range(first, first + more + 1)
        assert {seq: run.fate for run in had for seq in range(run.first, run.last + 1)} == {
            seq: plain[seq] for seq in seqs if seq in plain
        }
        plain |= dict.fromkeys(seqs, fate)
    assert {seq: run.fate for run in fates for seq in range(run.first, run.last + 1)} == plain


async def test_what_was_deferred_is_looked_for_in_the_spool(stores: Stores, tmp_path: Path) -> None:
    """By the two commands, as one would: the camera host says what it has, the stack what it waits for."""
    it = Committing(stores, 1, keep_bytes=ALL)
    await it.begin()
    await it.commit(Position(1, 9), Run(Fate.INFERRED, 1, 3), Run(Fate.DEFERRED, 4, 9))
    site, _, name = CAMERA.partition("/")
    store = SpoolStore(tmp_path / "spool" / f"{name}.sqlite", 1)
    unit = CapturedUnit(Codec.H264, Flag.CLEAN, 64, 48, 40_000, 1, 1, b"x")
    store.put(Life(1, 1, 9), [HeldUnit(seq, unit, 0, 0) for seq in (4, 5, 6, 8)])
    said = await fishladder("edge", "spool", "--site", site, "--spool-dir", str(tmp_path / "spool"), "--json")
    assert said.status == 0, said.err
    (tmp_path / "host.json").write_text(said.out)
    stack = ("ledger", "--audit", "--redis", stores.urls.state, "--frames", stores.urls.frames)
    assert (await fishladder(*stack)).status == 0
    done = await fishladder(*stack, "--spool", str(tmp_path / "host.json"))
    assert done.status == 1
    assert f"{CAMERA} 1-7: deferred, and not in the spool" in done.out
    assert f"{CAMERA} 1-9: deferred, and not in the spool" in done.out
    store.put(Life(1, 1, 9), [HeldUnit(seq, unit, 0, 0) for seq in (7, 9)])
    store.close()
    told = await fishladder("edge", "spool", "--site", site, "--spool-dir", str(tmp_path / "spool"))
    assert told.out == f"{CAMERA}: 6 frames, 0.0 MB (1:4-9)\n"
    said = await fishladder("edge", "spool", "--site", site, "--spool-dir", str(tmp_path / "spool"), "--json")
    (tmp_path / "host.json").write_text(said.out)
    assert (await fishladder(*stack, "--spool", str(tmp_path / "host.json"))).status == 0


async def test_a_spool_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = await fishladder("edge", "spool", "--site", "a", "--spool-dir", str(tmp_path / "nowhere"))
    assert done.status == 2
    assert f"no spool is at {tmp_path}/nowhere" in done.err
