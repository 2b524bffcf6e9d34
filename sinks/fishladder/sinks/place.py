"""How far a sink has delivered of each camera, in the state store, so that whoever runs it next goes on there; and how
many frames were past retention before they could be delivered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from fishladder.runtime.scripts import text
from fishladder.view.bookmark import LAST_OF_MS
from fishladder.view.commits import Commit
from fishladder.wire import keys
from fishladder.wire.result import Result

#: The field of the cursor's hash that says when the sink was first run.
_BEGAN = "@began"


@dataclass(frozen=True, slots=True)
class Delivered:
    """Of one camera: the stream id (ms, n) delivered last, and which seq of which epoch its live lane had got to."""

    at: tuple[int, int]
    epoch: int = 0
    last: int = 0

    def __str__(self) -> str:
        return "{}-{} {} {}".format(*self.at, self.epoch, self.last)

    @classmethod
    def parse(cls, stored: str) -> "Delivered":
        entry, epoch, last = stored.split()
        ms, _, n = entry.partition("-")
        return cls((int(ms), int(n)), int(epoch), int(last))

    def after(self, at: tuple[int, int], result: Result) -> tuple["Delivered", int]:
        """The same once `result` has been delivered, and how many frames are surely missing in between: the live lane
        has no holes and begins with 1 in each epoch, so those were trimmed before they were read.

        It is the least there can be. How far an epoch went whose end is trimmed, and which backfilled results were, no
        result that is left tells.
        """
        if result.lane != keys.LIVE:
            return Delivered(at, self.epoch, self.last), 0
        if self.epoch == 0 or result.epoch < self.epoch:  # it has begun here
            missed = 0
        else:
            before = self.last if result.epoch == self.epoch else 0
            missed = max(result.first - before - 1, 0)
        return Delivered(at, result.epoch, result.last), missed


@dataclass(slots=True)
class Place:
    """One sink's. `load` first."""

    state: Redis
    name: str
    began_ms: int = 0
    delivered: dict[str, Delivered] = field(default_factory=dict)

    async def load(self, *, from_oldest: bool) -> None:
        """Read it, or make a new one that begins now or with the oldest result there is."""
        key = keys.sink_cursor(self.name)
        seconds, micros = await self.state.time()
        now_ms = 0 if from_oldest else seconds * 1000 + micros // 1000
        await self.state.hsetnx(key, _BEGAN, str(now_ms))
        stored = {text(name): text(value) for name, value in (await self.state.hgetall(key)).items()}
        self.began_ms = int(stored.pop(_BEGAN))
        self.delivered = {camera: Delivered.parse(value) for camera, value in stored.items()}

    def seen(self, camera: str) -> tuple[int, int]:
        """The stream id after which a camera's results are to be delivered."""
        if camera in self.delivered:
            return self.delivered[camera].at
        return max(self.began_ms - 1, 0), LAST_OF_MS

    async def advance(self, batch: Sequence[Commit]) -> int:
        """These are delivered. Returns how many frames were missing before or among them. Raises redis' errors."""
        moved: dict[str, Delivered] = {}
        missed = 0
        for commit in batch:
            before = moved.get(commit.camera) or self.delivered.get(commit.camera) or Delivered((0, 0))
            moved[commit.camera], gap = before.after(commit.at, commit.result)
            missed += gap
        await self.state.hset(keys.sink_cursor(self.name), mapping={name: str(it) for name, it in moved.items()})
        self.delivered |= moved
        return missed
