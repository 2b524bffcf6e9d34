"""When a hardware encoder is opened anew because another rate is wanted: what it may make at most, and its rate buffer,
it keeps from its opening. Pure. A keyframe comes with each opening, so it waits for one that is due where it can, and
no driver is asked more often than so many times a minute.
"""

from collections import deque

from fishladder.edge.encode import REOPEN_US, ROOM, SUDDEN, SUDDEN_US

#: The rate buffer of the rate it is opened for. With `SUDDEN` of it wanted it is 0.2 s of what is wanted.
BUFFER_S = 0.12
#: An encoder that takes no other rate while it runs is opened anew for a rate that differs by so much.
FIXED = 0.2
MOST_A_MINUTE = 12
_MINUTE_US = 60_000_000


def buffer_bits(bitrate_bps: float, fps: float) -> int:
    """For an encoder opened for that rate: a picture's bits at least."""
    return max(round(bitrate_bps * max(BUFFER_S, 1 / fps)), 1)


class Reopening:
    """One encoder's. `changes_rate`: it takes a new rate as it runs, up to `ROOM` times what it was opened for."""

    def __init__(self, opened_for_bps: int, *, changes_rate: bool) -> None:
        self.opened_for_bps = opened_for_bps
        self._least, self._most = (SUDDEN, ROOM) if changes_rate else (1 - FIXED, 1 + FIXED)
        self._changes_rate = changes_rate
        self._openings_us: deque[int] = deque(maxlen=MOST_A_MINUTE)
        self._opened_us: int | None = None

    def due(self, wanted_bps: int, pts_us: int, *, keyframe: bool) -> bool:
        """Whether to open another one for the picture at `pts_us`, which will be a keyframe in any case or not. Where
        too much would be made until the next one, or what is wanted cannot be, a keyframe more is worth it.
        """
        self._opened_us = pts_us if self._opened_us is None else self._opened_us
        if self._least <= wanted_bps / self.opened_for_bps <= self._most or self._often(pts_us):
            return False
        since_us = pts_us - self._opened_us
        if wanted_bps < self.opened_for_bps:
            return keyframe or (not self._changes_rate and since_us >= SUDDEN_US)
        return keyframe or since_us >= REOPEN_US

    def opened(self, bitrate_bps: int, pts_us: int) -> None:
        """That was done."""
        self.opened_for_bps, self._opened_us = bitrate_bps, pts_us
        self._openings_us.append(pts_us)

    def _often(self, pts_us: int) -> bool:
        return len(self._openings_us) == MOST_A_MINUTE and pts_us - self._openings_us[0] < _MINUTE_US
