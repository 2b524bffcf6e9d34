"""What one peer may take: sizes, counts, rates and times, for all and for single sites. Pure."""

from collections import Counter
from typing import Annotated

import msgspec
from msgspec import Meta

from fishladder.gateway.tokens import Grant
from fishladder.wire.unit import MAX_UNIT_BYTES

Count = Annotated[int, Meta(gt=0)]
#: No epoch gets further: 35 years at 1000 pictures a second. What is above it is made up, and would spoil the sums.
MOST_SEQ = 2**40
#: New epochs of one camera, in the long run and at once: an agent that has lost its memory needs one. Each is an entry
#: in the log, and all that no worker has come to are gone through at every hello.
EPOCHS_PER_S, EPOCHS_AT_ONCE = 0.5, 60
#: A rate is measured over about so long: what a camera or a site has saved up it may send at once.
BURST_S = 10.0


class SiteLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gateway.limits.sites.<site>]`: what holds for one site in place of the common limits."""

    unit_bytes: Annotated[int, Meta(gt=0, le=MAX_UNIT_BYTES)] | None = None
    connections_per_site: Count | None = None
    cameras_per_site: Count | None = None
    site_bps: Count | None = None
    camera_bps: Count | None = None


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gateway.limits]` of the settings file. Each holds for one gateway process."""

    unit_bytes: int = 4 * 1024 * 1024
    cameras_per_connection: int = 256
    cameras_per_site: int = 1024  #: names a site may have in all; the one limit that all gateways share
    camera_bps: int = 50_000_000
    site_bps: int = 1_000_000_000
    unfinished_bytes_per_site: int = 64 * 1024 * 1024  #: of units whose last fragment has not come
    connections_per_token: int = 64
    connections_per_site: int = 256
    connections: int = 4096
    strangers: int = 1024  #: connections without a good token yet
    strangers_per_address: int = 256
    hello_s: float = 10.0  #: a connection shows its token, and an agent says hello, within this
    idle_s: float = 60.0  #: a connection that says nothing for so long is closed
    whip_sessions: int = 256
    whip_posts_per_s: float = 5.0  #: offers of one token subject; twice as many changes of sessions
    whip_burst: int = 100  #: of them at once
    silent_s: float = 30.0  #: a WHIP session without video ends
    dead_s: float = 5.0  #: a WHIP session whose client shows no sign of life ends
    viewers: int = 64  #: live pictures and boxes, each on a connection of its own
    watched_cameras: int = 256  #: by all of them together
    offer_bytes: int = 64 * 1024  #: a WHIP offer
    sites: dict[str, SiteLimits] = {}

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if name != "sites" and getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0")
        if self.unit_bytes > MAX_UNIT_BYTES:
            raise ValueError(f"unit_bytes is at most {MAX_UNIT_BYTES}")

    def of(self, site: str | None) -> "Limits":
        """Those of one site."""
        own = self.sites.get(site or "")
        if own is None:
            return self
        told = {name: value for name, value in msgspec.structs.asdict(own).items() if value is not None}
        return msgspec.structs.replace(self, **told)


class Occupancy:
    """Counts who holds how many of something, up to a limit each and a limit in all."""

    def __init__(self, each: int, total: int) -> None:
        self._each = each
        self._total = total
        self._held: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._held.total()

    def enter(self, who: str, each: int | None = None) -> bool:
        """Take one more; False if that would be too many. `each`: a limit of his own."""
        if self._held[who] >= (each or self._each) or self._held.total() >= self._total:
            return False
        self._held[who] += 1
        return True

    def leave(self, who: str) -> None:
        self._held[who] -= 1
        if not self._held[who]:
            del self._held[who]


class Places:
    """Connections of one kind, counted by token holder and by site."""

    def __init__(self, limits: Limits, total: int) -> None:
        self._limits = limits
        self._holders = Occupancy(limits.connections_per_token, total)
        self._sites = Occupancy(limits.connections_per_site, total)

    def __len__(self) -> int:
        return len(self._holders)

    def enter(self, grant: Grant) -> bool:
        """Take one more; False if that would be too many."""
        if not self._holders.enter(grant.holder):
            return False
        site = grant.site or ""
        if self._sites.enter(site, self._limits.of(site).connections_per_site):
            return True
        self._holders.leave(grant.holder)
        return False

    def leave(self, grant: Grant) -> None:
        self._holders.leave(grant.holder)
        self._sites.leave(grant.site or "")


class Meter:
    """How much of a rate is used (a token bucket). What comes is always taken; `over` says that it was too much.

    `per_s` may be used in the long run, `most` at once.
    """

    __slots__ = ("_at", "_left", "most", "per_s")

    def __init__(self, per_s: float, most: float, now: float) -> None:
        self.per_s = per_s
        self.most = most
        self._left = most
        self._at = now

    def spend(self, amount: float) -> None:
        self._left -= amount

    @property
    def over(self) -> bool:
        """As of the last `refill`."""
        return self._left < 0

    @property
    def wait_s(self) -> float:
        """How long until it is not."""
        return max(-self._left / self.per_s, 0.0)

    def refill(self, now: float) -> None:
        self._left = min(self._left + (now - self._at) * self.per_s, self.most)
        self._at = now

    @property
    def full(self) -> bool:
        """Nothing was spent lately: there is nothing to remember."""
        return self._left >= self.most
