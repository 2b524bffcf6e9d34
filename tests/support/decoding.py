"""Runs units through a `CameraDecoder` and sorts what comes out. Checks on the way what must always hold: every seq
that counts comes out once, in order.
"""

from collections.abc import Iterable
from typing import NamedTuple

from support.clips import image

from fishladder.inference.decode import CameraDecoder, Outcome, Picture
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec


class Decoded(NamedTuple):
    images: dict[int, bytes]
    fates: dict[int, Fate]

    def of(self, fate: Fate) -> list[int]:
        return [seq for seq, settled in self.fates.items() if settled is fate]


def sort(outcomes: Iterable[Outcome]) -> Decoded:
    images: dict[int, bytes] = {}
    fates: dict[int, Fate] = {}
    for outcome in outcomes:
        assert outcome.seq not in images
        assert outcome.seq not in fates
        if isinstance(outcome, Picture):
            images[outcome.seq] = image(outcome.frame)
        else:
            fates[outcome.seq] = outcome.fate
    return Decoded(images, fates)


def decode(
    codec: Codec, units: Iterable[tuple[int, bytes]], *, cursor: int = -1, decoder: CameraDecoder | None = None
) -> Decoded:
    """Decode (seq, payload) pairs; those at or before `cursor` are context."""
    decoder = decoder or CameraDecoder()
    outcomes: list[Outcome] = []
    counted = []
    for seq, payload in units:
        outcomes += decoder.push(seq, codec=codec, payload=payload, context=seq <= cursor)
        counted += [seq] if seq > cursor else []
        assert decoder.pending <= 32
        assert len(outcomes) + decoder.pending == len(counted)
    outcomes += decoder.drain()
    assert [outcome.seq for outcome in outcomes] == counted
    assert decoder.pending == 0
    return sort(outcomes)
