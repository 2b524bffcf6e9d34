"""Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01): when each packet
came, so that the sender's own controller can find out what the link carries. Pure.
"""

import struct

from fishladder.gateway.webrtc.rtcp import RTPFB, TRANSPORT_FEEDBACK, feedback
from fishladder.gateway.webrtc.rtp import step

EVERY_S = 0.05
#: Packets one message speaks of; a jump to beyond them is a sender that began anew.
MOST_PACKETS = 2048
_TICK_S = 0.00025
_TICKS_OF_REFERENCE = 256  # 64 ms
_LOST, _SMALL, _LARGE = 0, 1, 2
_MOST_RUN = 0x1FFF


class TransportFeedback:
    """One transport's packets. `ssrc` is ours, `media` any of the sender's."""

    def __init__(self, ssrc: int) -> None:
        self._ssrc = ssrc
        self._came: dict[int, float] = {}  # unwrapped number -> when
        self._next: int | None = None  # the first number not reported yet
        self._count = 0

    def arrived(self, seq: int, now: float) -> bool:
        """A packet with the wrapped number `seq` has come at `now` (seconds, any steady clock). Whether so many have
        that the next message should not wait.
        """
        if self._next is None:
            self._next = seq
        ahead = step(seq - self._next, 16)
        at = self._next + ahead
        if not -MOST_PACKETS < ahead < MOST_PACKETS:
            self._came.clear()
            self._next = at
        self._came.setdefault(at, now)
        return len(self._came) >= MOST_PACKETS // 4

    def take(self, media: int) -> list[bytes]:
        """RTCP packets for what has come since the last call, mostly one."""
        messages = []
        while self._came:
            assert self._next is not None
            first = min(self._next, min(self._came))
            messages.append(self._message(first, media))
        return messages

    def _message(self, first: int, media: int) -> bytes:
        """Report from `first` on, as far as one message can say it."""
        last = min(max(self._came), first + MOST_PACKETS - 1)
        present = min(self._came)
        origin = int(self._came[present] / _TICK_S) // _TICKS_OF_REFERENCE
        ticks = origin * _TICKS_OF_REFERENCE
        symbols: list[int] = []
        deltas = b""
        for seq in range(first, last + 1):
            came = self._came.get(seq)
            if came is None:
                symbols.append(_LOST)
                continue
            delta = round(came / _TICK_S) - ticks
            if not -0x8000 <= delta <= 0x7FFF:
                break  # the next message says it, from another reference
            del self._came[seq]
            ticks += delta
            small = 0 <= delta <= 0xFF
            symbols.append(_SMALL if small else _LARGE)
            deltas += struct.pack(">B" if small else ">h", delta)
        while symbols[-1] == _LOST:
            symbols.pop()
        self._next = max(self._next or 0, first + len(symbols))
        words = struct.pack(">HHI", first & 0xFFFF, len(symbols), (origin & 0xFFFFFF) << 8 | self._count)
        words += _chunks(symbols) + deltas
        self._count = (self._count + 1) & 0xFF
        return feedback(RTPFB, TRANSPORT_FEEDBACK, self._ssrc, media, words + bytes(-len(words) % 4))


def _chunks(symbols: list[int]) -> bytes:
    """Packet status chunks (section 3.1.3): runs where they pay, else vectors of 14 or 7."""
    out = b""
    at = 0
    while at < len(symbols):
        symbol = symbols[at]
        run = 1
        while at + run < len(symbols) and run < _MOST_RUN and symbols[at + run] == symbol:
            run += 1
        if run >= 7 or at + run == len(symbols):
            out += struct.pack(">H", symbol << 13 | run)
            at += run
            continue
        short = symbols[at : at + 14]
        if _LARGE not in short:
            bits = 0
            for one in short:
                bits = bits << 1 | one
            out += struct.pack(">H", 0x8000 | bits << (14 - len(short)))
            at += len(short)
        else:
            bits = 0
            for one in symbols[at : at + 7]:
                bits = bits << 2 | one
            taken = min(7, len(symbols) - at)
            out += struct.pack(">H", 0xC000 | bits << 2 * (7 - taken))
            at += taken
    return out
