"""What an agent tells its gateway of the uplink and of each camera, for people to see. Pure."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec

from fishladder.edge.limits.limiter import Holding
from fishladder.edge.limits.month import Forecast
from fishladder.edge.rate.orders import Order, Wish
from fishladder.edge.rate.passing import Keep
from fishladder.edge.spool.keeper import Filling
from fishladder.wire.messages import MonthStatus, SenderStatus, UplinkStatus

#: Rates are over so many of the last reports, which are a second apart.
_REPORTS = 6
#: What is as it was is said again so often: a new session on the other side has not heard it.
_AGAIN_S = 5.0


class Sending(NamedTuple):
    """How a camera's pictures are sent. `gate_open`: None = it has no gate."""

    mode: Literal["encode", "passthrough"]
    gate_open: bool | None = None


def sender_status(sending: Sending, wish: Wish | None, order: Order | None) -> SenderStatus:
    """What is sent of what would be. Before the first order all of it is; widths are unknown until a camera is open."""
    gate: Literal["open", "closed"] | None = None
    if sending.gate_open is not None:
        gate = "open" if sending.gate_open else "closed"
    if wish is None:
        return SenderStatus(sending.mode, gate)
    most_bps = round(wish.most_bps)
    order = order or Order(most_bps)
    return SenderStatus(
        sending.mode,
        gate,
        bitrate_bps=min(order.bitrate_bps, most_bps),
        of_bps=most_bps,
        fps=round(order.fps or wish.fps, 2),
        of_fps=round(wish.fps, 2),
        width=order.width or wish.width,
        of_width=wish.width,
        hold=order.hold,
        sub=order.passing.sub,
        keep=_kept(order.passing.keep, sending.mode),
    )


def _kept(keep: Keep, mode: Literal["encode", "passthrough"]) -> Literal["all", "tail", "keyframes"]:
    """In words of the contract. What is to be encoded anew is cut until it is, and then like any that is encoded."""
    if keep == "transcode":
        return "all" if mode == "encode" else "tail"
    return keep


@dataclass(slots=True)
class SenderNews:
    """What of it is news. Bitrates change all the time: by themselves they are none."""

    _said: dict[int, SenderStatus] = field(default_factory=dict)
    _all_s: float = float("-inf")

    def of(self, now: Mapping[int, SenderStatus], now_s: float) -> list[tuple[int, SenderStatus]]:
        """Those to be said now, by channel."""
        again = now_s - self._all_s >= _AGAIN_S
        if again:
            self._all_s = now_s
        news = [(channel, it) for channel, it in now.items() if again or _rough(it) != self._said.get(channel)]
        self._said = {channel: _rough(it) for channel, it in now.items()}
        return news


def _rough(it: SenderStatus) -> SenderStatus:
    return msgspec.structs.replace(it, bitrate_bps=0)


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
