"""Placement: every partition has one taker, nobody too many, and few change hands."""

from hypothesis import given
from hypothesis import strategies as st

from fishladder.inference.placement import HOLD_MS, alive, place
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


def test_where_nobody_has_settled_all_count() -> None:
    beats = {"b": beat(1000, 900), "a": beat(1000, 950)}
    assert alive(beats, 1100, 1500) == ["a", "b"]
    assert alive({}, 1100, 1500) == []


def test_no_workers_no_places() -> None:
    assert place(8, []) == {}
