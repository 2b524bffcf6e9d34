"""What the rate control keeps of one camera: where it stands on its ladders, its last order, and what it sends."""

from dataclasses import dataclass, field

from fishladder.edge.rate.ladder import Ladder
from fishladder.edge.rate.orders import Order, differs
from fishladder.edge.rate.passing import PassingLadder

_FOLLOW_S = 0.4


@dataclass(slots=True)
class CameraState:
    ladder: Ladder = field(default_factory=Ladder)
    passing: PassingLadder = field(default_factory=PassingLadder)
    used_bps: float = 0.0
    produced: int = 0  # bytes since the last step
    hold: bool = False
    order: Order | None = None
    good: Order | None = None  #: the last one before something was late
    _smooth_bps: float = 0.0

    def used(self, passed_s: float) -> None:
        """Follow what is sent: at once upwards, slowly down."""
        rate = self.produced * 8 / min(passed_s, 1.0)
        self._smooth_bps += (rate - self._smooth_bps) * min(passed_s / _FOLLOW_S, 1.0)
        self.used_bps = max(self._smooth_bps, self.used_bps * (1 - min(passed_s / 2.0, 1.0)))
        self.produced = 0

    def told(self, order: Order) -> Order | None:
        """It, if that is news."""
        if not differs(order, self.order):
            return None
        self.order = order
        return order

    def released(self) -> Order | None:
        """For when the link is gone, if that is news: what is captured then goes to the spool, or fills the ring, all
        of it, and as good as it was before. A sub-stream stays: nothing of it is left out, and it is what the link may
        carry afterwards.
        """
        self.hold = False
        self.passing.keep_all()
        if self.order is None:
            return None
        return self.told((self.good or self.order)._replace(hold=False, passing=self.order.passing.whole))
