"""Commands to the frame store, in the store's own protocol (RESP), written by hand: a general client's pipeline costs
more per unit than everything else on the way. A wrong length would corrupt the connection, so every length is taken
from the bytes that follow it. Replies are hiredis' business.
"""

from collections.abc import Iterable, Sequence

from fishladder.gateway.session import LogSession, Queued
from fishladder.runtime.scripts import script
from fishladder.wire import keys
from fishladder.wire.entry import RANGE_FIELD, STAMP_BYTES, UNIT_FIELD, Stamp

_END = b"\r\n"


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def command(*args: bytes | str | int) -> bytes:
    """One command."""
    parts = [b"*%d\r\n" % len(args)]
    parts += (bulk(arg if isinstance(arg, bytes) else str(arg).encode()) for arg in args)
    return b"".join(parts)


_UNIT = bulk(UNIT_FIELD)
_RANGE = bulk(RANGE_FIELD)


class AppendWriter:
    """Writes calls of the append script. What never changes about a session is kept with it."""

    def __init__(self) -> None:
        self.source = script("append").source
        self._call = bulk(b"EVALSHA") + bulk(script("append").sha.encode())

    def load(self) -> bytes:
        """The command that makes the server know the script."""
        return command("SCRIPT", "LOAD", self.source)

    def call(self, batches: Sequence[tuple[LogSession, Sequence[Queued]]], written_us: int) -> Iterable[bytes]:
        """One call for sessions of one partition, each with its entries in order."""
        args = 3 + sum(5 + 4 * len(entries) for _, entries in batches)
        parts = [b"*%d\r\n" % args, self._call, bulk(b"%d" % (2 * len(batches)))]
        for session, _ in batches:
            parts.append(bulk(keys.owner(session.partition, session.camera).encode()))
            parts.append(bulk(keys.log(session.partition, session.camera).encode()))
        for session, entries in batches:
            parts.append(bulk(session.token.encode()) + bulk(b"%d" % session.epoch) + bulk(b"%d" % len(entries)))
            for entry in entries:
                _entry(parts, entry, written_us)
        return parts


def _entry(parts: list[bytes], entry: Queued, written_us: int) -> None:
    first, last = b"%d" % entry.first, b"%d" % entry.last
    places = b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(first), first, len(last), last)
    if entry.captured_us is None:
        parts += (places, _RANGE, bulk(entry.data))
        return
    stamp = Stamp(entry.captured_us, entry.received_us, written_us).pack()
    parts += (places, _UNIT, b"$%d\r\n" % (STAMP_BYTES + len(entry.data)), stamp, entry.data, _END)
