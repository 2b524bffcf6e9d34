"""A camera that obeys its agent's orders, in the place of an encoder: what would be made of each picture at the
bitrate, fps, size and keyframe distance in force. Drawn sizes follow at once, as x264 does; from a ladder of clips that
were encoded beforehand it takes the highest rung that the order allows, which only a keyframe can change. Pure.
"""

from collections.abc import Sequence
from typing import NamedTuple

from fishladder.edge.capture import Orders
from fishladder.edge.sampler import Sampler
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.ladder import Rung

#: An order so far below the rung in use is not kept waiting for a keyframe; another is not begun sooner than that.
_FAR_BELOW, _AGAIN_US = 0.8, 500_000
#: A rung may be a little above what was ordered.
_NEAR = 1.02


class Made(NamedTuple):
    """What a picture became: a unit of that size, or `payload` where it is real."""

    size_bytes: int
    key: bool
    width: int
    height: int
    payload: bytes | None


class Obedient:
    """`spec` is what the camera sends while nobody orders less; without a `ladder`, sizes follow from it."""

    def __init__(self, spec: CameraSpec, ladder: Sequence[Rung] = (), turn_s: float = 0.0) -> None:
        self.orders = Orders(None, round(spec.bitrate_bps))
        self._spec = spec
        self._ladder = sorted(ladder, key=lambda rung: -rung.bitrate_bps)
        self._thinner = Sampler()
        self._key_us: int | None = None
        self._rung: Rung | None = None
        self._index = 0  # in the rung's clip
        self._content_s = turn_s

    def take(self, at_us: int, noise: float) -> Made | None:
        """What becomes of the picture at `at_us`, None if it is left out. `noise` is its size over that of others."""
        if self._ladder:
            return self._from_ladder(at_us)
        orders, spec = self.orders, self._spec
        self._thinner.set_fps(orders.thin_fps)
        if orders.hold or not self._thinner.wants(at_us, at_us):
            return None
        fps = min(spec.fps, orders.thin_fps or spec.fps)
        now = spec.ordered(orders.bitrate_bps, fps, orders.keyframe_s)
        due = self._key_us is None or at_us - self._key_us >= now.gop_s * 1e6 - 5e5 / spec.fps
        key = orders.keyframe_wanted() or due
        if key:
            self._key_us = at_us
        width = orders.width or spec.width
        size = (now.i_bytes if key else now.p_bytes) * noise
        return Made(max(round(size), 1), key, width, round(spec.height * width / spec.width / 2) * 2, None)

    def _from_ladder(self, at_us: int) -> Made | None:
        orders, best = self.orders, self._allowed()
        rung = self._rung
        fps = (rung or best).fps
        self._thinner.set_fps(fps if fps < self._spec.fps else None)
        if orders.hold or not self._thinner.wants(at_us, at_us):
            return None
        calm = self._key_us is None or at_us - self._key_us >= _AGAIN_US
        asked = orders.keyframe_wanted()
        if (
            rung is None
            or asked
            or (rung is not best and rung.key[self._index])
            or (calm and rung is not best and orders.bitrate_bps < _FAR_BELOW * rung.bitrate_bps)
        ):
            rung = self._begin(best)
        index, self._index = self._index, (self._index + 1) % len(rung.key)
        self._content_s = self._index / rung.fps
        if rung.key[index]:
            self._key_us = at_us
        return Made(len(rung.units[index]), rung.key[index], rung.width, rung.height, rung.units[index])

    def _allowed(self) -> Rung:
        orders = self.orders
        for rung in self._ladder:
            slow_enough = not orders.thin_fps or rung.fps <= orders.thin_fps * 1.34
            if rung.bitrate_bps <= orders.bitrate_bps * _NEAR and slow_enough:
                return rung
        return self._ladder[-1]

    def _begin(self, rung: Rung) -> Rung:
        """At its next keyframe from where the content is."""
        count = len(rung.key)
        start = round(self._content_s * rung.fps)
        self._rung = rung
        self._index = next(index for step in range(count) if rung.key[index := (start + step) % count])
        return rung
