"""`fishladder ledger --audit`: recounts cameras from the results that are kept, and says where what is pending waits.
It only reads, page by page, beside a running system; counting is for `recount`.
"""

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich import box
from rich.console import Console
from rich.table import Table

from fishladder.operate.recount import Finding, Recount, Standing
from fishladder.runtime.commits import cursor_field, open_field
from fishladder.runtime.ledger import Books, Ledger, ledger_of, read_books
from fishladder.runtime.scripts import run
from fishladder.runtime.store import connect
from fishladder.view.reader import StateReader
from fishladder.wire import keys, open_set
from fishladder.wire.errors import WireError
from fishladder.wire.fates import Fate
from fishladder.wire.ids import ORIGIN, Position
from fishladder.wire.open_set import OpenRange
from fishladder.wire.result import Result, decode
from fishladder.wire.spooled import missing

_PAGE = 256
#: Trimming may overtake reading: what was found is looked at again before it is said.
_LOOKS = 3
_PIPE_COLUMNS = 160
GROUPS = ("inferred", "skipped", "dropped")


@dataclass(frozen=True, slots=True)
class Audit:
    """What came of one camera. `begin` is how far back its results reach; `in_log` the pending seqs in the frame log,
    None where that could not be read.
    """

    ledger: Ledger
    begin: Position
    settled: Counter[Fate]
    in_log: int | None
    in_spool: int | None  #: of what is deferred, None where nobody said what is in it
    findings: tuple[Finding, ...]

    @property
    def with_agent(self) -> int | None:
        """Pending seqs that are nowhere here: in the agent's ring or spool, or on their way."""
        return None if self.in_log is None else self.ledger.pending - self.ledger.deferred - self.in_log

    def group(self, name: str) -> int:
        return sum(count for fate, count in self.settled.items() if fate.group == name)


def standing(books: Books) -> Standing:
    """Where an account stands. Pure."""
    return _standing(books.counts, books.cursor, books.open)


def checkpoint(books: Books) -> Standing:
    """Where it stood before the oldest result that is kept. Pure; raises `WireError`."""
    cursor = books.checkpoint.get(cursor_field())
    opened = open_set.parse(books.checkpoint.get(open_field()))
    return _standing(books.checkpoint, Position.parse(cursor) if cursor else ORIGIN, opened)


def _standing(counts: dict[str, str], cursor: Position, opened: tuple[OpenRange, ...]) -> Standing:
    prefix = f"{keys.ANALYSIS}/"
    found = {name.removeprefix(prefix): int(n) for name, n in counts.items() if name.startswith(prefix)}
    closed = found.pop("closed", 0)
    return Standing(cursor, opened, {Fate[label.upper()]: n for label, n in found.items() if n}, closed)


async def audit(
    reader: StateReader,
    cameras: Sequence[str],
    frames_url: str | None,
    spools: Mapping[str, Sequence[OpenRange]] | None = None,
) -> list[Audit]:
    """Recount some cameras. `spools`: what waits on the hosts of some. Raises redis' errors of the state store,
    `WireError` for what cannot be read.
    """
    frames = connect(frames_url) if frames_url else None
    try:
        return [await _audit(reader, camera, frames, (spools or {}).get(camera)) for camera in cameras]
    finally:
        if frames is not None:
            await frames.aclose()


async def _audit(reader: StateReader, camera: str, frames: Redis | None, spool: Sequence[OpenRange] | None) -> Audit:
    partition = reader.partition(camera)
    for _ in range(_LOOKS):
        books = await read_books(reader.state, partition, camera)
        begin = checkpoint(books)
        recount = Recount(begin)
        async for result in _results(reader.state, partition, camera, books):
            recount.add(result)
        stands = standing(books)
        findings = recount.findings(stands)
        gone = missing(stands.open, spool) if spool is not None else []
        findings += [Finding("deferred, and not in the spool", *it) for it in gone]
        if not findings:
            break
    ledger = ledger_of(camera, books, now_us=time.time_ns() // 1000)
    if not ledger.closes:
        findings.append(Finding(f"captured {ledger.captured}, but fates and what is pending are {_sum(ledger)}"))
    in_log = None if frames is None else await _in_log(frames, partition, ledger)
    in_spool = None if spool is None else open_set.count(stands.open) - open_set.count(gone)
    return Audit(ledger, begin.cursor, recount.settled, in_log, in_spool, tuple(findings))


def _sum(ledger: Ledger) -> int:
    return ledger.settled + ledger.pending


async def _results(state: Redis, partition: int, camera: str, books: Books) -> AsyncIterator[Result]:
    """The results after the checkpoint, up to the last one of the same moment."""
    if not books.last_result:
        return
    after = books.checkpoint.get("after", "0-0")
    while True:
        page: Any = await state.xrange(
            keys.results(partition, camera), min=f"({after}", max=books.last_result, count=_PAGE
        )
        for entry_id, fields in page:
            try:
                yield decode(fields[b"r"])
            except WireError as error:
                raise WireError(f"{camera}, result {entry_id.decode()}: {error}") from None
        if len(page) < _PAGE:
            return
        after = page[-1][0].decode()


async def _in_log(frames: Redis, partition: int, ledger: Ledger) -> int | None:
    """How many of the pending seqs are in the frame log; None if it cannot be read."""
    after, count = str(ledger.cursor), 0
    try:
        while after:
            after, *flat = await run(frames, "outline", [keys.log(partition, ledger.camera)], [after, _PAGE])
            for epoch, first, last in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
                begin = ledger.cursor.seq + 1 if epoch == ledger.cursor.epoch else 1
                count += max(last - max(first, begin) + 1, 0)
            after = after.decode()
    except (RedisError, OSError):
        return None
    return count


def as_document(audits: Sequence[Audit]) -> dict[str, Any]:
    """What --json prints."""
    return {
        "closes": not any(it.findings for it in audits),
        "cameras": [
            {
                "camera": it.ledger.camera,
                "captured": it.ledger.captured,
                "recounted_from": str(it.begin),
                "recounted_to": str(it.ledger.cursor),
                "recounted": {fate.label: count for fate, count in sorted(it.settled.items())},
                "reasons": {fate.label: count for fate, count in sorted(it.ledger.fates.items())},
                "pending": it.ledger.pending,
                "pending_deferred": it.ledger.deferred,
                "pending_in_spool": it.in_spool,
                "pending_in_log": it.in_log,
                "pending_with_agent": it.with_agent,
                "position_age_s": it.ledger.position_age_s,
                "findings": [
                    {"epoch": one.epoch, "first": one.first, "last": one.last, "what": one.what} for one in it.findings
                ],
            }
            for it in audits
        ],
    }


def show(audits: Sequence[Audit], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(as_document(audits), indent=2))
        return
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _PIPE_COLUMNS
    if not audits:
        console.print("no cameras yet")
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("camera", "recounted after", "up to"):
        table.add_column(name, no_wrap=True)
    for name in ("inferred", "skipped", "dropped", "pending", "deferred", "in spool", "in log", "with agent"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("each seq one fate", no_wrap=True)
    for it in audits:
        where = (it.ledger.pending, it.ledger.deferred, it.in_spool, it.in_log, it.with_agent)
        table.add_row(
            it.ledger.camera,
            str(it.begin),
            str(it.ledger.cursor),
            *(str(it.group(name)) for name in GROUPS),
            *("?" if count is None else str(count) for count in where),
            f"NO, {len(it.findings)} findings" if it.findings else "yes",
        )
    console.print(table)
    for it in audits:
        for finding in it.findings:
            console.print(f"{it.ledger.camera} {finding}", soft_wrap=True)
