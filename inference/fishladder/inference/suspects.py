"""Units that crash their worker. The first units of a camera that another worker has not left in good order are taken
with care: before each the state store is told which is tried, so that one that ends this worker as well is known to the
next, which tries it in a process of its own, and passes it over for ever if that dies too.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from fishladder.inference import alone, metrics
from fishladder.inference.config import WorkerSettings
from fishladder.inference.pipeline import Lane, Pipeline, Report, Settlement
from fishladder.inference.progress import Job, Lose, Push
from fishladder.wire import keys
from fishladder.wire.errors import WireError
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position
from fishladder.wire.unit import Codec, Flag

log = structlog.get_logger(__name__)
#: Poison units a camera remembers; when there are more, the oldest have long been passed.
REMEMBERED = 32
#: Samples kept of all cameras, and the most bytes of one: the unit, with those before it that it needs if they fit.
SAMPLES = 16
SAMPLE_BYTES = 256 * 1024
#: So many units are taken with care: no more than a decoder holds back, and a batch and a commit, lie between the
#: cursor and what a worker was doing when it died.
CAREFUL_UNITS = 64
#: A unit that a process of its own survives, but so many workers in a row did not, is given up all the same.
MOST_TRIES = 3
_POLL_S = 0.002


@dataclass(frozen=True, slots=True)
class Past:
    """What the state store remembers of a lane: the worker that has begun it and not left it in good order, the unit
    that was being tried, and by how many.
    """

    worker: str = ""
    trying: Position | None = None
    tries: int = 0

    @classmethod
    def parse(cls, begun: bytes | None, trying: bytes | None) -> "Past":
        """What cannot be read counts as nothing."""
        worker = (begun or b"").decode(errors="replace")
        try:
            position, tries = (trying or b"").decode().split(" ")
            return cls(worker, Position.parse(position), int(tries))
        except (ValueError, WireError):
            return cls(worker)

    def suspect(self, worker: str) -> bool:
        """Whether `worker`, who begins now, should wonder what became of the one before."""
        return bool(self.worker) and self.worker != worker


def begun_field(lane: str) -> str:
    return f"begun:{lane}"


def trying_field(lane: str) -> str:
    return f"trying:{lane}"


POISON_FIELD = "poison"


def parse_poison(raw: bytes | None) -> set[Position]:
    """The units of a camera that are passed over. What cannot be read counts as nothing."""
    try:
        return {Position.parse(one) for one in (raw or b"").split()}
    except WireError:
        return set()


async def remember_begun(state: Redis, lane: str, names: Sequence[str], worker: str) -> None:
    """Note who begins lanes, in the hashes with their cursors. A store without room for it takes no note."""
    async with state.pipeline(transaction=False) as pipe:
        for key in names:
            pipe.hset(key, begun_field(lane), worker)
        _raise_unless_full(await pipe.execute(raise_on_error=False))


async def forget_begun(state: Redis, names: Sequence[str], lanes: Sequence[str] = (keys.LIVE, keys.BACKFILL)) -> None:
    """These were left in good order: whoever begins there next need not wonder why."""
    async with state.pipeline(transaction=False) as pipe:
        for key in names:
            pipe.hdel(key, *(name(lane) for lane in lanes for name in (begun_field, trying_field)))
        _raise_unless_full(await pipe.execute(raise_on_error=False))


def _raise_unless_full(replies: Sequence[object]) -> None:
    for reply in replies:
        if isinstance(reply, Exception) and not isinstance(reply, OutOfMemoryError):
            raise reply


@dataclass(slots=True, eq=False)
class Suspect:
    """A lane under suspicion. `poison` is its camera's set, to which this adds."""

    key: str  #: of the hash with its cursor
    name: str  #: keys.LIVE or keys.BACKFILL
    camera: str
    past: Past
    poison: set[Position]
    queue: deque[Job] = field(default_factory=deque)
    before: list[Push] = field(default_factory=list)  #: from the last clean point on
    survived: int = 0  #: units, without context


class Suspects:
    """Stands between those who submit jobs and the compute thread, as the same to them. `report` takes in what became
    of units as if the compute thread had said it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        state: Redis,
        report: Callable[[list[tuple[Lane, Report]]], None],
        settings: WorkerSettings,
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._state = state
        self._report = report
        self._suspects: dict[Lane, Suspect] = {}
        self._unfinished: set[tuple[str, str]] = set()  # by the key of their cursor and their name
        self._tried: Suspect | None = None  # whose unit was tried last
        self._wake = asyncio.Event()

    def begin(self, lane: Lane, suspect: Suspect, worker: str) -> None:
        """`worker` begins a lane: care is taken if another has not left it, or if that was not over here."""
        if not suspect.past.suspect(worker) and (suspect.key, suspect.name) not in self._unfinished:
            return
        self._unfinished.add((suspect.key, suspect.name))
        log.warning(
            "the worker before did not leave in good order: units are tried one by one",
            camera=suspect.camera,
            lane=suspect.name,
            before=suspect.past.worker,
            tried=str(suspect.past.trying) if suspect.past.trying else None,
        )
        self._suspects[lane] = suspect

    def submit(self, lane: Lane, jobs: Sequence[Job]) -> None:
        suspect = self._suspects.get(lane)
        if suspect is None:
            self._pipeline.submit(lane, jobs)
        else:
            suspect.queue.extend(jobs)
            self._wake.set()

    def clear(self, lane: Lane) -> None:
        self._suspects.pop(lane, None)
        self._pipeline.clear(lane)

    def busy(self, lane: Lane) -> bool:
        suspect = self._suspects.get(lane)
        return bool(suspect and suspect.queue) or self._pipeline.busy(lane)

    async def run(self) -> None:
        """Try units one after the other until cancelled. Raises redis' errors when the store is away."""
        while True:
            tried = False
            self._wake.clear()
            for lane, suspect in list(self._suspects.items()):
                if suspect.queue and self._suspects.get(lane) is suspect:
                    await self._try(lane, suspect)
                    tried = True
                if suspect.survived >= CAREFUL_UNITS:
                    await self._clear_of(lane, suspect)
            if not tried:
                await self._wake.wait()

    async def _try(self, lane: Lane, suspect: Suspect) -> None:
        job = suspect.queue[0]
        if isinstance(job, Push) and await self._may_be_tried(suspect, job):
            if job.header.flags & Flag.CLEAN:
                suspect.before.clear()
            suspect.before.append(job)
        elif isinstance(job, Push):
            self._withdraw(lane, suspect, job)
            return
        else:
            suspect.before.clear()
        if self._suspects.get(lane) is not suspect or not suspect.queue or suspect.queue[0] is not job:
            return  # cleared while the store was told
        suspect.queue.popleft()
        self._pipeline.submit(lane, [job])
        while self._pipeline.busy(lane):  # noqa: ASYNC110 - the compute thread has no event to wait for
            await asyncio.sleep(_POLL_S)
        suspect.survived += isinstance(job, Push) and not job.context

    async def _may_be_tried(self, suspect: Suspect, job: Push) -> bool:
        """Whether a unit is to be decoded here; the store knows of it then."""
        at, past = Position(job.header.epoch, job.header.seq), suspect.past
        if at in suspect.poison:
            return False
        tries = 1
        if past.trying == at:
            tries = past.tries + 1
            pushes = [*suspect.before, job]
            units = [(it.header.codec, it.data) for it in pushes]
            found = await alone.victim(alone.pack(units), self._settings)
            if found is None and past.tries > MOST_TRIES:
                found = len(pushes)
            if found is not None:
                header = pushes[found - 1].header  # pictures come out later than their units went in
                await self._found(suspect, Position(header.epoch, header.seq), units[:found])
                if found == len(pushes):
                    return False
        if self._tried is not None and self._tried is not suspect:
            await self._state.hdel(self._tried.key, trying_field(self._tried.name))
        self._tried = suspect
        await self._write(suspect, trying_field(suspect.name), f"{at} {tries}")
        return True

    async def _found(self, suspect: Suspect, at: Position, units: Sequence[tuple[Codec, memoryview]]) -> None:
        """A unit is poison: remember it before anything else, and keep a sample."""
        suspect.poison.add(at)
        metrics.poison.inc()
        log.error(
            "a unit crashes its worker: it is passed over", camera=suspect.camera, unit=str(at), sample=keys.POISON
        )
        await self._write(suspect, POISON_FIELD, " ".join(map(str, sorted(suspect.poison)[-REMEMBERED:])))
        whole = alone.pack(units)
        sample = whole if len(whole) <= SAMPLE_BYTES else alone.pack(units[-1:])[:SAMPLE_BYTES]
        told = {"camera": suspect.camera, "unit": str(at), "units": sample}
        try:
            await self._state.xadd(keys.POISON, told, maxlen=SAMPLES, approximate=False)  # type: ignore[arg-type]
        except OutOfMemoryError as error:  # no memory for it
            log.warning("no sample was kept", error=str(error))

    def _withdraw(self, lane: Lane, suspect: Suspect, job: Push) -> None:
        """A unit is not decoded: it is settled as undecodable, and what follows does without it."""
        at = Position(job.header.epoch, job.header.seq)
        suspect.before.clear()
        suspect.queue[0] = Lose(job.size_bytes)
        if not job.context:
            self._report([(lane, Settlement(at, Fate.UNDECODABLE, None))])

    async def _clear_of(self, lane: Lane, suspect: Suspect) -> None:
        """The lane gets on: what waits goes its usual way."""
        await self._state.hdel(suspect.key, trying_field(suspect.name))
        if self._suspects.get(lane) is suspect:
            self._unfinished.discard((suspect.key, suspect.name))
            del self._suspects[lane]
            self._pipeline.submit(lane, list(suspect.queue))

    async def _write(self, suspect: Suspect, name: str, value: str) -> None:
        try:
            await self._state.hset(suspect.key, name, value)
        except OutOfMemoryError as error:  # no memory: then it is tried unseen
            log.warning("not remembered", camera=suspect.camera, what=name, error=str(error))
