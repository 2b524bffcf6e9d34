"""What one connection has yet to be told. Pure: acknowledgements, credit and open ranges replace those before, so only
the newest wait; everything else waits in order, and a peer that does not read is cut off before it costs memory.
"""

from fishladder.wire.messages import Ack, Credit, Fault, FromGateway, Open, encode

MAX_WAITING = 4096


class Outbox:
    def __init__(self) -> None:
        self._messages: list[FromGateway] = []
        self._acks: dict[int, tuple[int, int]] = {}
        self._logged: dict[int, int] = {}  # as said last, or waiting to be
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

    def end(self, fault: Fault) -> None:
        """The last thing to say. The first fault is the one that counts."""
        self._fault = self._fault or fault

    def ack(self, channel: int, logged: int, committed: int) -> bool:
        """Whether `logged` is news; what is committed alone can wait for company."""
        self._acks[channel] = (logged, committed)
        news = self._logged.get(channel) != logged
        self._logged[channel] = logged
        return news

    def forget(self, channel: int) -> None:
        """A channel's acknowledgements and open ranges are no longer of use: it says hello anew."""
        self._acks.pop(channel, None)
        self._logged.pop(channel, None)
        self._open.pop(channel, None)

    def open(self, message: Open) -> None:
        self._open[message.channel] = message

    def credit(self, total: int) -> None:
        self._credit = total

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
