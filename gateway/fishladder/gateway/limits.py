"""What one peer may take: sizes, counts and times, and the counting of connections by token. Pure."""

from collections import Counter

import msgspec

from fishladder.wire.unit import MAX_UNIT_BYTES


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gateway.limits]` of the settings file."""

    unit_bytes: int = 4 * 1024 * 1024
    cameras_per_connection: int = 256
    connections_per_token: int = 64
    connections: int = 4096
    hello_s: float = 10.0  #: a connection says hello within this
    idle_s: float = 60.0  #: a connection that says nothing for so long is closed
    whip_sessions: int = 256
    whip_posts_per_s: float = 5.0  #: offers of one token subject; twice as many changes of sessions
    whip_burst: int = 100  #: of them at once
    silent_s: float = 30.0  #: a WHIP session without video ends
    dead_s: float = 5.0  #: a WHIP session whose client shows no sign of life ends
    offer_bytes: int = 64 * 1024  #: a WHIP offer

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0")
        if self.unit_bytes > MAX_UNIT_BYTES:
            raise ValueError(f"unit_bytes is at most {MAX_UNIT_BYTES}")


class Occupancy:
    """Counts who holds how many of something, up to a limit each and a limit in all."""

    def __init__(self, each: int, total: int) -> None:
        self._each = each
        self._total = total
        self._held: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._held.total()

    def enter(self, who: str) -> bool:
        """Take one more; False if that would be too many."""
        if self._held[who] >= self._each or self._held.total() >= self._total:
            return False
        self._held[who] += 1
        return True

    def leave(self, who: str) -> None:
        self._held[who] -= 1
        if not self._held[who]:
            del self._held[who]
