"""What a detector keeps of its detections at fewer bits, fewer pictures or smaller ones: as `fishladder loadtest
accuracy` writes it (`profile.json`), and as an agent takes it for its ladder's `profile`.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fishladder.wire.errors import ConfigError

_Share = Annotated[float, Meta(ge=0, le=1)]
_Size = Annotated[int, Meta(ge=1, le=65_535)]
MOST_BYTES = 4 << 20
_MOST_RUNGS = 10_000


class Rung(msgspec.Struct, frozen=True):
    """`varied` is what this row is about: rate, fps or width. `f1` is over all instants."""

    clip: str
    varied: Literal["rate", "fps", "width"]
    width: _Size
    height: _Size
    fps: Annotated[float, Meta(ge=0.001, le=1000)]
    bitrate_bps: Annotated[float, Meta(ge=1, le=1e10)]
    f1: _Share
    precision: _Share
    recall: _Share
    objects: Annotated[int, Meta(ge=0)]  #: in the source, over all instants

    @property
    def bits_per_pixel(self) -> float:
        return self.bitrate_bps / (self.width * self.height * self.fps)


class Measured(msgspec.Struct, frozen=True):
    """All rows of all clips. The rate is varied at a clip's own size and frame rate, the others at plenty of bits."""

    model: str
    sha256: str
    provider: str
    clips: list[str]
    rungs: Annotated[list[Rung], Meta(min_length=1, max_length=_MOST_RUNGS)]


class _Summary(msgspec.Struct, frozen=True):
    """Of a report of `accuracy`, which holds the same."""

    kind: Literal["accuracy"]
    findings: Measured


def decode(said: bytes, where: str) -> Measured:
    """The content of `profile.json`, or of a report's `summary.json`. Raises `ConfigError` naming `where` and the
    field.
    """
    try:
        found = msgspec.json.decode(said)
        if isinstance(found, dict) and "findings" in found:
            it = msgspec.convert(found, _Summary).findings
        else:
            it = msgspec.convert(found, Measured)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{where}: not what `fishladder loadtest accuracy` writes: {error}") from None
    rated = {rung.clip for rung in it.rungs if rung.varied == "rate"}
    for index, rung in enumerate(it.rungs):
        if rung.clip not in rated:
            raise ConfigError(f'{where}: rungs[{index}]: of clip {rung.clip!r} there is no row with varied "rate"')
    return it
