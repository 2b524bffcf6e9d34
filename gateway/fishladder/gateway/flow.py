"""What goes through one camera's session, as people want to see it: frames and bits a second, since when nothing moves,
how long the oldest uncommitted frame waits. Sampled each second from what the session knows anyway; pure.
"""

from collections import deque
from dataclasses import dataclass, field

from fishladder.gateway.session import LogSession
from fishladder.wire.errors import WireError
from fishladder.wire.reports import Flow
from fishladder.wire.unit import Header

#: Rates are over so many of the last samples, which are a second apart.
_WINDOW = 6
#: So many moments at which a position was first heard of are kept until it is committed; then every other one.
_WAITING = 512


@dataclass(slots=True)
class FlowMeter:
    """One camera's; `sample` it about once a second."""

    gateway: str = ""
    sampled_us: int = 0
    _counts: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _heard: deque[tuple[int, int, int]] = field(default_factory=deque)  # epoch, position, when it was first heard
    _moved_us: int = 0
    _position: tuple[int, int] = (0, 0)
    _session: str = ""
    _shown: tuple[str, int, int] = ("", 0, 0)  # codec, width, height

    def sample(self, session: LogSession, now_us: int) -> Flow:
        """What is to be said of the session now."""
        self.sampled_us = now_us
        if session.token != self._session:
            self._session = session.token
            self._counts.clear()
            self._heard.clear()
        self._counts.append((now_us, session.units, session.unit_bytes))
        position = (session.epoch, session.position)
        if position != self._position:
            self._position, self._moved_us = position, now_us
            self._heard.append((*position, now_us))
            if len(self._heard) > _WAITING:
                self._heard = deque(list(self._heard)[::2])
        while self._heard and self._heard[0][:2] <= (session.epoch, session.committed):
            self._heard.popleft()
        self._look_at(session.header)
        began_us, units, size = self._counts[0]
        seconds = (now_us - began_us) / 1e6
        return Flow(
            fps=round((session.units - units) / seconds, 2) if seconds else 0.0,
            bps=round((session.unit_bytes - size) * 8 / seconds) if seconds else 0.0,
            moved_us=self._moved_us,
            oldest_us=self._heard[0][2] if self._heard else 0,
            codec=self._shown[0],
            width=self._shown[1],
            height=self._shown[2],
            gateway=self.gateway,
            sender=session.sender,
        )

    def _look_at(self, packed: bytes) -> None:
        try:
            header = Header.peek(packed)
        except WireError:
            return
        known = (header.width, header.height) if header.width else self._shown[1:]
        self._shown = (header.codec.label, *known)
