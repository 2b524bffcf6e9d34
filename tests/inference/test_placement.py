"""Placement: every partition has one taker, nobody too many, and few change hands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.inference.placement import HOLD_MS, alive, joining, place
from fishladder.wire.reports import Heartbeat

names = st.lists(st.text("abcdef0123456789-", min_size=1, max_size=12), min_size=1, max_size=12, unique=True)
counts = st.integers(1, 96)
occupied = st.sets(st.integers(0, 95))


@given(counts, names, occupied)
def test_every_partition_is_wanted_by_exactly_one(partitions: int, workers: list[str], busy: set[int]) -> None:
    placed = place(partitions, workers, busy)
    assert placed.keys() == set(range(partitions))
    assert set(placed.values()) <= set(workers)


@given(counts, names, occupied)
def test_load_is_bounded(partitions: int, workers: list[str], busy: set[int]) -> None:
    """Partitions with cameras are spread evenly, and so are the rest."""
    placed = place(partitions, workers, busy)
    busy &= set(range(partitions))
    for group in (busy, set(range(partitions)) - busy):
        share = -(-len(group) // len(workers))
        assert all(sum(placed[p] == worker for p in group) <= share for worker in workers)


@given(counts, names, occupied, st.randoms())
def test_all_who_know_the_same_workers_agree(partitions: int, workers: list[str], busy: set[int], rng: object) -> None:
    shuffled = list(workers)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert place(partitions, workers, busy) == place(partitions, shuffled, busy)


class Cluster:
    """Workers that hold what they should, and how often each partition has changed hands."""

    def __init__(self, workers: int) -> None:
        self.busy = list(range(0, 64, 3))
        self.holds: dict[str, list[int]] = {}
        self.moves = dict.fromkeys(range(64), 0)
        self.settled = [f"worker-{index}" for index in range(workers)]
        self.joining: list[str] = []
        self.settle()
        self.moves = dict.fromkeys(range(64), 0)

    def settle(self) -> None:
        """Until nothing changes any more."""
        while True:
            placed = place(64, self.settled, self.busy, holds=self.holds, joining=self.joining)
            changed = 0
            for partition, worker in placed.items():
                if partition not in self.holds.setdefault(worker, []):
                    for held in self.holds.values():
                        held[:] = [it for it in held if it != partition]
                    self.holds[worker].append(partition)
                    self.moves[partition] += 1
                    changed += 1
            if not changed:
                return

    def join(self, worker: str) -> None:
        self.joining.append(worker)
        self.settle()

    def grow_old(self) -> None:
        self.settled, self.joining = self.settled + self.joining, []
        self.settle()

    def stop(self, worker: str) -> None:
        self.settled.remove(worker)
        self.holds.pop(worker)
        self.settle()

    def even(self) -> bool:
        """Nobody has more than his share (and one, since those with cameras are shared out by themselves)."""
        return max(map(len, self.holds.values())) <= -(-64 // len(self.settled)) + 1


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_replacing_each_worker_by_another_moves_each_camera_once(workers: int) -> None:
    """The new one is started before the old one is stopped."""
    it = Cluster(workers)
    for index in range(workers):
        it.join(f"new-{index}")
        assert not it.holds.get(f"new-{index}"), "it takes nothing from the others"
        it.stop(f"worker-{index}")
        it.grow_old()
    assert set(it.moves.values()) == {1}
    assert it.even()


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_restarting_each_worker_moves_its_cameras_away_and_back(workers: int) -> None:
    """It is stopped before it is started again, and it takes its part when it has settled."""
    it = Cluster(workers)
    for index in range(workers):
        mine = set(it.holds[f"worker-{index}"])
        before = dict(it.moves)
        it.stop(f"worker-{index}")
        it.join(f"new-{index}")
        it.grow_old()
        moves = {partition: it.moves[partition] - before[partition] for partition in it.moves}
        assert {partition for partition, count in moves.items() if count} == mine
        assert max(moves.values()) <= 2
    assert it.even()


def test_few_partitions_change_hands_when_a_worker_leaves() -> None:
    """Besides those of the one that left, which must. Over many sets of workers, since one alone says little."""
    moved = leavers = 0
    for case in range(40):
        workers = [f"host-{case}-{index}" for index in range(6)]
        before, after = place(64, workers), place(64, workers[1:])
        leavers += sum(worker == workers[0] for worker in before.values())
        moved += sum(before[p] != after[p] for p in before if before[p] != workers[0])
    assert moved < leavers / 2


@given(counts, names, occupied, st.data())
def test_who_is_silent_is_stood_in_for_and_nobody_else_moves(
    partitions: int, workers: list[str], busy: set[int], data: st.DataObject
) -> None:
    heard = data.draw(st.sets(st.sampled_from(workers), min_size=1))
    before, meanwhile = place(partitions, workers, busy), place(partitions, workers, busy, heard)
    assert set(meanwhile.values()) <= heard
    assert all(meanwhile[p] == before[p] for p in before if before[p] in heard)


@given(counts, names, occupied, st.data())
def test_shares_follow_weights(partitions: int, workers: list[str], busy: set[int], data: st.DataObject) -> None:
    weights = {worker: data.draw(st.sampled_from((0.5, 1.0, 4.0, 16.0))) for worker in workers}
    placed = place(partitions, workers, busy, weights=weights)
    assert placed.keys() == set(range(partitions))
    busy &= set(range(partitions))
    for group in (busy, set(range(partitions)) - busy):
        for worker in workers:
            share = len(group) * weights[worker] / sum(weights.values())
            assert sum(placed[p] == worker for p in group) < share + 1


def beat(at_ms: int, since_ms: int) -> Heartbeat:
    return Heartbeat(at_ms, since_ms)


def test_a_worker_counts_once_it_has_settled_and_while_it_is_heard() -> None:
    now = 100_000
    beats = {
        "old": beat(now - 100, now - 50_000),
        "new": beat(now - 100, now - HOLD_MS + 1),
        "silent": beat(now - 1500, now - 50_000),
    }
    assert alive(beats, now, 1500) == ["old"]
    assert alive(beats, now + 1, 2000) == ["new", "old", "silent"]


def test_who_has_not_settled_is_joining_unless_he_has_to_get_well_first() -> None:
    now = 100_000
    beats = {"old": beat(now, 0), "new": beat(now, now), "starved": beat(now, now + 1)}
    assert joining(beats, now, 1500) == ["new"]
    assert joining({"new": beat(now, now)}, now, 1500) == [], "it takes part: there is nobody else"


@given(counts, names, occupied, st.data())
def test_what_is_held_is_kept_up_to_ones_share(
    partitions: int, workers: list[str], busy: set[int], data: st.DataObject
) -> None:
    everything = data.draw(st.permutations(range(partitions)))
    cuts = sorted(data.draw(st.lists(st.integers(0, partitions), min_size=len(workers), max_size=len(workers))))
    holds = {worker: everything[start:end] for worker, start, end in zip(workers, [0, *cuts], cuts, strict=False)}
    new = data.draw(st.sampled_from([[], ["new"]]))
    placed = place(partitions, workers, busy, holds=holds, joining=new)
    assert placed.keys() == set(range(partitions))
    busy &= set(range(partitions))
    for group in (busy, set(range(partitions)) - busy):
        share = -(-len(group) // len(workers))
        for worker in workers:
            kept = [it for it in holds[worker] if it in group][:share]
            assert all(placed[it] == worker for it in kept)
            assert sum(placed[it] == worker for it in group) <= share


def test_where_nobody_has_settled_all_count() -> None:
    beats = {"b": beat(1000, 900), "a": beat(1000, 950)}
    assert alive(beats, 1100, 1500) == ["a", "b"]
    assert alive({}, 1100, 1500) == []


def test_no_workers_no_places() -> None:
    assert place(8, []) == {}
