"""What an agent tells its gateway of the uplink, for people to see. Pure."""

from collections import deque
from dataclasses import dataclass, field

from fishladder.edge.spool.keeper import Filling
from fishladder.wire.messages import UplinkStatus

#: Rates are over so many of the last reports, which are a second apart.
_REPORTS = 6


@dataclass(slots=True)
class SentRate:
    """How much has lately gone out."""

    _samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_REPORTS))

    def status(
        self,
        sent_bytes: int,
        now_s: float,
        *,
        rtt_us: int | None = None,
        estimate_bps: float | None = None,
        spool: Filling | None = None,
    ) -> UplinkStatus:
        """`sent_bytes` is a count that only rises; `estimate_bps` what the link carries, None while it is not full."""
        self._samples.append((now_s, sent_bytes))
        then_s, before = self._samples[0]
        seconds = now_s - then_s
        return UplinkStatus(
            rtt_us=rtt_us,
            estimate_bps=estimate_bps,
            sent_bps=round((sent_bytes - before) * 8 / seconds) if seconds > 0 else None,
            spool_bytes=spool.bytes if spool is not None else None,
            spool_limit_bytes=spool.limit_bytes if spool is not None else None,
        )
