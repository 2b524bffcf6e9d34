"""Which partitions a worker should hold: rendezvous hashing with bounded load over the workers that are alive, the same
answer for all who know the same workers. Pure; leases decide who really holds one, and correctness rests on commits.
"""

import heapq
import math
from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b

from fishladder.wire.reports import Heartbeat

#: A worker takes part once it has lived so long, so that one that restarts again and again moves nothing.
HOLD_MS = 1000


def alive(heartbeats: Mapping[str, Heartbeat], now_ms: int, ttl_ms: int) -> list[str]:
    """The workers that take part, sorted: heard of lately and settled, or, while none is settled, all heard of."""
    heard = {name: beat for name, beat in heartbeats.items() if now_ms - beat.at_ms < ttl_ms}
    settled = [name for name, beat in heard.items() if now_ms - beat.since_ms >= HOLD_MS]
    return sorted(settled or heard)


def place(
    partitions: int,
    workers: Sequence[str],
    occupied: Collection[int] = (),
    heard: Collection[str] | None = None,
    weights: Mapping[str, float] | None = None,
) -> dict[int, str]:
    """Who should hold each partition. Nobody gets more than his share (rounded up) of the `occupied` ones, which have
    cameras, nor of the rest: an even one, or by `weights` (above 0; 1 for who has none).

    Each pair of partition and worker has a score; pairs are served by score while both are free. So when a worker joins
    or leaves, few partitions change hands besides its own. For a worker that is not among those `heard` (all, if None)
    the others stand in, and change nothing else: it may be back soon.
    """
    if not workers:
        return {}
    busy = sorted(set(occupied) & set(range(partitions)))
    rest = sorted(set(range(partitions)) - set(busy))
    there = [worker for worker in workers if heard is None or worker in heard]
    placed: dict[int, str] = {}
    for group in (busy, rest):
        spread = _spread(group, workers, weights or {})
        if there:
            left = [partition for partition in group if spread[partition] not in there]
            spread |= _spread(left, there, weights or {})
        placed |= spread
    return placed


def _spread(partitions: Sequence[int], workers: Sequence[str], weights: Mapping[str, float]) -> dict[int, str]:
    total = sum(weights.get(worker, 1.0) for worker in workers)
    room = {worker: math.ceil(len(partitions) * weights.get(worker, 1.0) / total) for worker in workers}
    placed: dict[int, str] = {}
    pairs = [(-_score(partition, worker), partition, worker) for partition in partitions for worker in workers]
    heapq.heapify(pairs)
    while len(placed) < len(partitions):
        _, partition, worker = heapq.heappop(pairs)
        if partition not in placed and room[worker]:
            placed[partition] = worker
            room[worker] -= 1
    return placed


def _score(partition: int, worker: str) -> int:
    return int.from_bytes(blake2b(f"{partition} {worker}".encode(), digest_size=8).digest())
