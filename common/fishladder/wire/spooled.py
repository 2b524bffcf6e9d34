"""What waits in an agent's spools, as `fishladder edge spool --json` says it and `fishladder ledger --audit --spool`
takes it: so that an audit reaches the camera hosts, which its stores do not see.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from fishladder.wire.errors import WireError
from fishladder.wire.open_set import OpenRange

_Epoch = Annotated[int, Meta(ge=1)]
_Seq = Annotated[int, Meta(ge=1)]


class Spooled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By camera (`site/name`): epoch, first and last seq of what is there, ascending."""

    cameras: dict[str, list[tuple[_Epoch, _Seq, _Seq]]] = {}


def decode(said: bytes, where: str) -> Spooled:
    """Raises `WireError` naming `where`."""
    try:
        return msgspec.json.decode(said, type=Spooled)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"{where}: not what `fishladder edge spool --json` says: {error}") from None


def together(lists: Iterable[Spooled]) -> Mapping[str, tuple[OpenRange, ...]]:
    """Of several hosts."""
    found: dict[str, set[OpenRange]] = {}
    for one in lists:
        for camera, ranges in one.cameras.items():
            found.setdefault(camera, set()).update(OpenRange(*it) for it in ranges)
    return {camera: tuple(sorted(ranges)) for camera, ranges in found.items()}


def missing(opened: Iterable[OpenRange], held: Iterable[OpenRange]) -> list[OpenRange]:
    """What of `opened` is not in `held`; both ascending."""
    there = sorted(held)
    gone: list[OpenRange] = []
    for epoch, first, last in opened:
        at = first
        for it in there:
            if it.epoch != epoch or it.last < at or it.first > last:
                continue
            if it.first > at:
                gone.append(OpenRange(epoch, at, it.first - 1))
            at = max(at, it.last + 1)
        if at <= last:
            gone.append(OpenRange(epoch, at, last))
    return gone
