"""What a camera did lately, reckoned from its results stream: analysed frames a second, where their time went,
what was seen. Pure; `demo` reads the stores and draws.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from statistics import median

from fishladder.wire.result import Result

HOPS = ("capture", "uplink", "log", "wait", "decode", "batch", "infer", "commit")


@dataclass(frozen=True, slots=True)
class Seen:
    """One analysed frame: when it was committed, each hop in ms (order of `HOPS`), how many of each label."""

    committed_ms: int
    hops_ms: tuple[float, ...] | None
    labels: Counter[str]


@dataclass(slots=True)
class Recent:
    """A camera's last `window_s` seconds."""

    window_s: float = 10.0
    frames: int = 0
    detections: int = 0
    _seen: deque[Seen] = field(default_factory=deque)

    def add(self, committed_ms: int, result: Result) -> None:
        """Take in one commit; `committed_ms` is the time part of its stream id."""
        for frame in result.frames:
            hops = None
            if frame.hops is not None:
                spent = tuple(getattr(frame.hops, name) for name in HOPS[:-1])
                # What is left between the model's answer and the entry's own time is the commit.
                hops = (*spent, max(committed_ms - frame.captured_us / 1000 - sum(spent), 0.0))
            self.frames += 1
            self.detections += len(frame.detections)
            self._seen.append(Seen(committed_ms, hops, Counter(one.label for one in frame.detections)))
        while self._seen and self._seen[0].committed_ms < committed_ms - self.window_s * 1000:
            self._seen.popleft()

    def fps(self, now_ms: int) -> float:
        """Analysed frames a second over the window."""
        since = now_ms - self.window_s * 1000
        recent = [seen.committed_ms for seen in self._seen if seen.committed_ms >= since]
        if len(recent) < 2:
            return 0.0
        return len(recent) * 1000 / max(now_ms - recent[0], 1)

    def hops_ms(self) -> tuple[float, ...] | None:
        """The median of each hop over the window, in ms, in the order of `HOPS`; None without any."""
        rows = [seen.hops_ms for seen in self._seen if seen.hops_ms]
        return tuple(median(column) for column in zip(*rows, strict=True)) if rows else None

    def now_seen(self) -> Counter[str]:
        """What the last analysed frame showed."""
        return self._seen[-1].labels if self._seen else Counter()
