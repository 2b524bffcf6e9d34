"""How far somebody has read in the results of many cameras, as one short text that he can show later to go on from
there without missing or repeating any. Pure.

It holds because commits are handed on in the order of the state store's clock: everything before the bookmark's
millisecond has been read, and of that millisecond itself what is listed.
"""

import re
from dataclasses import dataclass, field
from typing import Self

from fishladder.wire.errors import WireError
from fishladder.wire.ids import check_camera

#: The largest second part of a stream id.
LAST_OF_MS = 2**64 - 1
_MAX_CHARS = 16_384
_TEXT = re.compile(r"(\d{1,16})((?:,[^,=]{1,140}=\d{1,20})*)")


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Everything before `ms` (Unix milliseconds) has been read, and of `ms` each camera's entries up to `within`."""

    ms: int
    within: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return ",".join([str(self.ms), *(f"{camera}={n}" for camera, n in sorted(self.within.items()))])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote. Raises `WireError`."""
        found = _TEXT.fullmatch(text) if len(text) <= _MAX_CHARS else None
        if found is None:
            raise WireError(f"{text[:80]!r} is not an id of these results")
        within: dict[str, int] = {}
        for part in found[2].split(",")[1:]:
            camera, _, n = part.partition("=")
            within[check_camera(camera)] = min(int(n), LAST_OF_MS)
        return cls(int(found[1]), within)

    def seen(self, camera: str) -> tuple[int, int]:
        """The stream id (ms, n) after which a camera's results have not been read."""
        if camera in self.within:
            return self.ms, self.within[camera]
        return max(self.ms - 1, 0), LAST_OF_MS

    def past(self, camera: str, at: tuple[int, int]) -> "Bookmark":
        """This one after a camera's entry at `at` (ms, n) was handed on."""
        ms, n = at
        if ms < self.ms:  # the store's clock stepped back
            return self
        within = {**self.within, camera: n} if ms == self.ms else {camera: n}
        return Bookmark(ms, within)
