"""The ledger of one camera: captured, what became of it, what is pending, and whether that adds up."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from fishladder.runtime.commits import cursor_field, open_field
from fishladder.runtime.scripts import run
from fishladder.wire import keys, open_set
from fishladder.wire.fates import Fate
from fishladder.wire.ids import ORIGIN, Position


@dataclass(frozen=True, slots=True)
class Ledger:
    """`captured` and `pending` follow from positions, `fates` is what commits counted: that they agree is the proof."""

    camera: str
    captured: int
    pending: int
    fates: dict[Fate, int] = field(default_factory=dict)
    position: Position = ORIGIN
    cursor: Position = ORIGIN
    position_age_s: float | None = None  #: since the agent last said how far it is
    deferred: int = 0  #: of those pending, how many wait for backfill

    @property
    def settled(self) -> int:
        return sum(self.fates.values())

    @property
    def unaccounted(self) -> int:
        """Captured frames without a fate that are not pending either. 0, or something is wrong."""
        return self.captured - self.settled - self.pending

    @property
    def closes(self) -> bool:
        return self.unaccounted == 0 and self.pending >= 0

    def group(self, name: str) -> int:
        """The sum of a group: inferred, skipped or dropped."""
        return sum(count for fate, count in self.fates.items() if fate.group == name)


def reckon(
    camera: str,
    fields: dict[str, str],
    cursor: Position,
    counts: dict[str, int],
    *,
    now_us: int,
    analysis: str = keys.ANALYSIS,
    deferred: int = 0,
) -> Ledger:
    """Make a ledger from a camera's hash, its live cursor, its ledger hash and the size of its open set. Pure.

    Captured = seqs of the epochs the cursor has left (`closed`) + those of later epochs up to their last known
    position. Pending = what of those lies after the cursor, and what the cursor left open. The agent reports its
    position each second, so a cursor ahead of it is the better knowledge.
    """
    closed = 0
    fates: dict[Fate, int] = {}
    for name, count in counts.items():
        which, _, label = name.partition("/")
        if which != analysis:
            continue
        if label == "closed":
            closed = count
        elif count:
            fates[Fate[label.upper()]] = count
    epoch = int(fields.get("epoch", 0))
    last = {int(name[5:]): int(value) for name, value in fields.items() if name.startswith("last:")}
    last[epoch] = int(fields.get("position", 0))
    last[cursor.epoch] = max(last.get(cursor.epoch, 0), cursor.seq)
    open_epochs = {e: seq for e, seq in last.items() if e >= cursor.epoch}
    reported_us = fields.get("position_us")
    return Ledger(
        camera,
        captured=closed + sum(open_epochs.values()),
        pending=sum(open_epochs.values()) - cursor.seq + deferred,
        fates=fates,
        position=Position(epoch, last[epoch]),
        cursor=cursor,
        position_age_s=(now_us - int(reported_us)) / 1e6 if reported_us else None,
        deferred=deferred,
    )


@dataclass(frozen=True, slots=True)
class Books:
    """What the state store holds of one camera's account at one moment, as it is kept. `last_result` is the id of the
    newest entry in its results stream, '' without one.
    """

    camera: dict[str, str]
    cursor: Position
    counts: dict[str, str]
    open: tuple[open_set.OpenRange, ...]
    checkpoint: dict[str, str]
    last_result: str


async def read_books(state: Redis, partition: int, camera: str) -> Books:
    """Read a camera's account in one step, so that its parts belong together. Raises `WireError`."""
    names, args = books_keys_args(partition, camera)
    return books_of(await run(state, "ledger", names, args, reads_only=True))


def books_keys_args(partition: int, camera: str) -> tuple[list[str], list[str]]:
    """The ledger script's KEYS and ARGV."""
    names = [
        keys.camera(partition, camera),
        keys.cursor(partition, camera),
        keys.ledger(partition, camera),
        keys.checkpoint(partition, camera),
        keys.results(partition, camera),
    ]
    return names, [cursor_field(), open_field()]


def books_of(reply: Any) -> Books:
    """Read the ledger script's reply. Raises `WireError`."""
    fields, cursor, counts, opened, checkpoint, last = reply
    at = Position.parse(cursor) if cursor else ORIGIN
    return Books(_flat(fields), at, _flat(counts), open_set.parse(opened), _flat(checkpoint), last.decode())


async def read_ledger(state: Redis, partition: int, camera: str, *, now_us: int) -> Ledger:
    """Read a camera's ledger at one moment."""
    return ledger_of(camera, await read_books(state, partition, camera), now_us=now_us)


def ledger_of(camera: str, books: Books, *, now_us: int) -> Ledger:
    """The ledger those books make. Pure."""
    counts = {name: int(value) for name, value in books.counts.items()}
    deferred = open_set.count(books.open)
    return reckon(camera, books.camera, books.cursor, counts, now_us=now_us, deferred=deferred)


def _flat(pairs: Sequence[bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
