"""Which partitions a worker should hold: those it holds, up to its share of the load, and of what nobody holds what
rendezvous hashing gives it; the same answer for all who know the same workers. Pure; leases decide who really holds
one, and correctness rests on commits.
"""

import heapq
import math
from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b

from fishladder.wire.reports import Heartbeat

#: A worker takes from others once it has lived so long, so that one that restarts again and again moves nothing, and
#: one that replaces another (started before that is stopped) gets just what that leaves.
HOLD_MS = 10_000


def alive(heartbeats: Mapping[str, Heartbeat], now_ms: int, ttl_ms: int) -> list[str]:
    """The workers that take part, sorted: heard of lately and settled, or, while none is settled, all heard of."""
    heard = {name: beat for name, beat in heartbeats.items() if now_ms - beat.at_ms < ttl_ms}
    settled = [name for name, beat in heard.items() if now_ms - beat.since_ms >= HOLD_MS]
    return sorted(settled or heard)


def joining(heartbeats: Mapping[str, Heartbeat], now_ms: int, ttl_ms: int) -> list[str]:
    """Those heard of lately that do not take part yet, sorted."""
    there = alive(heartbeats, now_ms, ttl_ms)
    lately = {name for name, beat in heartbeats.items() if now_ms - beat.at_ms < ttl_ms and beat.since_ms <= now_ms}
    return sorted(lately - set(there))


def place(
    partitions: int,
    workers: Sequence[str],
    occupied: Collection[int] = (),
    heard: Collection[str] | None = None,
    weights: Mapping[str, float] | None = None,
    *,
    holds: Mapping[str, Sequence[int]] | None = None,
    joining: Collection[str] = (),
) -> dict[int, str]:
    """Who should hold each partition. Nobody gets more than his share (rounded up) of the `occupied` ones, which have
    cameras, nor of the rest: an even one, or by `weights` (above 0; 1 for who has none).

    Who `holds` some (oldest first) keeps them up to his share, so that when a worker joins or leaves nothing else
    changes hands. Of what is free, each pair of partition and worker has a score; pairs are served by score while both
    are free. Who is `joining` gets of that alone. For a worker that is not among those `heard` (all, if None) the
    others stand in, and change nothing else: it may be back soon.
    """
    if not workers:
        return {}
    busy = sorted(set(occupied) & set(range(partitions)))
    rest = sorted(set(range(partitions)) - set(busy))
    there = [worker for worker in workers if heard is None or worker in heard]
    known, by_weight = holds or {}, weights or {}
    placed: dict[int, str] = {}
    for group in (busy, rest):
        spread = _spread(group, workers, by_weight, known, joining)
        if there:
            left = [partition for partition in group if spread[partition] in workers and spread[partition] not in there]
            spread |= _spread(left, there, by_weight, known)
        placed |= spread
    return placed


def _spread(
    partitions: Sequence[int],
    workers: Sequence[str],
    weights: Mapping[str, float],
    holds: Mapping[str, Sequence[int]],
    joining: Collection[str] = (),
) -> dict[int, str]:
    everybody = sorted({*workers, *joining})
    most, fair = _shares(len(partitions), workers, weights), _shares(len(partitions), everybody, weights)
    free, placed, room = set(partitions), dict[int, str](), dict[str, int]()
    for worker in everybody:
        share = math.ceil(most.get(worker, fair[worker]))
        kept = [partition for partition in holds.get(worker, ()) if partition in free][:share]
        free.difference_update(kept)
        placed.update(dict.fromkeys(kept, worker))
        room[worker] = -len(kept)
    # To everybody what is surely his, then the odd ones, first to those who have come to replace another.
    for takers, rounded in ((everybody, math.floor), (joining, math.ceil), (everybody, math.ceil)):
        pairs = [(-_score(partition, worker), partition, worker) for partition in free for worker in takers]
        heapq.heapify(pairs)
        while pairs:
            _, partition, worker = heapq.heappop(pairs)
            if partition in free and rounded(fair[worker]) + room[worker] > 0:
                placed[partition] = worker
                free.discard(partition)
                room[worker] -= 1
    return placed


def _shares(count: int, workers: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.get(worker, 1.0) for worker in workers)
    return {worker: count * weights.get(worker, 1.0) / total for worker in workers}


def _score(partition: int, worker: str) -> int:
    return int.from_bytes(blake2b(f"{partition} {worker}".encode(), digest_size=8).digest())
