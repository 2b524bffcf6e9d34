"""What one connection has yet to be told, and how soon. Pure: acknowledgements, credit and open ranges replace those
before, so only the newest wait; everything else waits in order, and a peer that does not read is cut off before it
costs memory.
"""

from collections.abc import Callable

from fishladder.wire.messages import Ack, Credit, Fault, FromGateway, Open, encode

MAX_WAITING = 4096
#: Seconds after what was said last: what is urgent; acknowledgements, by which agents measure; and what is committed,
#: which frees memory: by itself it would cost a thin uplink the packet that acknowledges it.
AT_ONCE, SOON, WITH_OTHERS = 0.0, 0.02, 0.2


class Outbox:
    """`wake(after_s)` is called when there is something to send, so long after the last."""

    def __init__(self, wake: Callable[[float], None]) -> None:
        self._wake = wake
        self._messages: list[FromGateway] = []
        self._acks: dict[int, tuple[int, int]] = {}
        self._open: dict[int, Open] = {}
        self._credit: int | None = None
        self._fault: Fault | None = None
        self.overflowing = False  #: the peer has left too much unread; what came after that is dropped

    def __bool__(self) -> bool:
        return bool(self._messages or self._acks or self._open) or self._credit is not None or self._fault is not None

    def say(self, message: FromGateway) -> None:
        if len(self._messages) >= MAX_WAITING:
            self.overflowing = True
            return
        self._messages.append(message)
        self._wake(AT_ONCE)

    def end(self, fault: Fault) -> None:
        """The last thing to say. The first fault is the one that counts."""
        self._fault = self._fault or fault
        self._wake(AT_ONCE)

    def ack(self, channel: int, logged: int, committed: int, *, after_s: float = SOON) -> None:
        self._acks[channel] = (logged, committed)
        self._wake(after_s)

    def forget(self, channel: int) -> None:
        """A channel's acknowledgements and open ranges are no longer of use: it says hello anew."""
        self._acks.pop(channel, None)
        self._open.pop(channel, None)

    def open(self, message: Open) -> None:
        self._open[message.channel] = message
        self._wake(SOON)

    def credit(self, total: int) -> None:
        self._credit = total
        self._wake(SOON)

    def take(self) -> list[str]:
        """All of it, encoded, in the order to send it in."""
        messages: list[FromGateway] = [*self._messages]
        if self._acks:
            messages.append(Ack([(channel, *both) for channel, both in self._acks.items()]))
        messages += self._open.values()
        if self._credit is not None:
            messages.append(Credit(self._credit))
        if self._fault is not None:
            messages.append(self._fault)
        self._messages, self._acks, self._open, self._credit, self._fault = [], {}, {}, None, None
        return [encode(message) for message in messages]
