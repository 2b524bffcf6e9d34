"""What an agent tells its gateway of the uplink, for people to see. Pure."""

import math
from collections import deque
from dataclasses import dataclass, field

from fishladder.edge.limits.limiter import Holding
from fishladder.edge.limits.month import Forecast
from fishladder.edge.spool.keeper import Filling
from fishladder.wire.messages import MonthStatus, UplinkStatus

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
        limits: Holding | None = None,
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
            limit_bps=limits.total_bps if limits is not None and limits.total_bps < math.inf else None,
            limited_by=limits.why if limits is not None else "",
            month=_month(limits.month) if limits is not None and limits.month is not None else None,
        )


def _month(it: Forecast) -> MonthStatus:
    return MonthStatus(
        used_bytes=it.used_bytes,
        limit_bytes=it.limit_bytes,
        begin_ms=round(it.month.begin_s * 1000),
        end_ms=round(it.month.end_s * 1000),
        forecast_bytes=None if it.ends_at_bytes is None else round(it.ends_at_bytes),
        reached_ms=None if it.reached_s is None else round(it.reached_s * 1000),
    )
