"""What the operator lets an agent have of the uplink at a moment: the limit of the time of day, what the month's
allowance leaves, and how long the next message has to wait because of them. It counts what was carried, and says in a
sentence what holds and how the month will end.
"""

import asyncio
import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import structlog

from fishladder.edge import metrics
from fishladder.edge.limits import words
from fishladder.edge.limits.month import NO_LIMIT, Allowance, Forecast, allowance, forecast, month_of
from fishladder.edge.limits.pacer import Pacer
from fishladder.edge.limits.settings import LimitsConfig
from fishladder.edge.limits.usage import Usage
from fishladder.edge.limits.windows import changes_at, window_at
from fishladder.edge.limits.wire import Carried, on_the_wire

log = structlog.get_logger(__name__)

#: How often it is looked at what holds, what was counted is written, and the month is said in the log.
LOOK_S = 5.0
SAVE_S = 60.0
SAY_S = 6 * 3600.0
#: A limit of the month that differs by less from what was said is no news.
_NEWS = 0.25


class Holding(NamedTuple):
    """What holds now, bits a second; infinite = nothing does. `why` for people, '' where nothing does."""

    total_bps: float = math.inf
    backfill_bps: float = math.inf
    why: str = ""
    month: Forecast | None = None


def holding(config: LimitsConfig, slots: dict[int, int], now_s: float) -> Holding:
    """What holds at a moment (Unix seconds, by a clock that is right). Pure."""
    zone = config.zone
    local = datetime.fromtimestamp(now_s, zone).replace(tzinfo=None)
    windows = config.windows
    window = window_at(windows, local)
    max_bps = config.max_bps if window is None else window.max_bps
    until = changes_at(windows, local) if windows else None
    month: Forecast | None = None
    left: Allowance = NO_LIMIT
    if config.month_bytes:
        billing = month_of(now_s, config.billing_day, zone)
        month = forecast(slots, billing, config.month_bytes, now_s)
        left = allowance(slots, billing, config.month_bytes, now_s)
    total_bps = min(max_bps or math.inf, left.total_bps)
    why = ""
    if left.total_bps < (max_bps or math.inf):
        why = words.by_month(left)
    elif max_bps is not None:
        why = words.by_clock(max_bps, scheduled=window is not None, until=until, now=local)
    return Holding(total_bps, min(total_bps, left.backfill_bps), why, month)


class Limiter:
    """`wall_s` is this host's time of day, which may be wrong; `gateway_s` the gateway's, None until it is known: for a
    month nothing is counted before. `clock` gives monotonic seconds. The month's count is kept in `directory`.
    """

    def __init__(
        self,
        config: LimitsConfig,
        *,
        directory: Path | None,
        wall_s: Callable[[], float],
        gateway_s: Callable[[], float | None],
        clock: Callable[[], float],
    ) -> None:
        self.config = config
        self.now = Holding()
        self._directory = directory
        self._wall_s = wall_s
        self._gateway_s = gateway_s
        self._clock = clock
        self._usage: Usage | None = None  # while there is a monthly limit, or was
        self._total, self._backfill = Pacer(), Pacer()
        self._gentle_bps = math.inf  # what the link carries, where others shall not notice us
        self._carried = Carried()
        self._sent_bytes = 0  # as worked out, since it was last measured
        self._saved_s = clock()
        self._said_s = -math.inf
        self._said: tuple[str, float] = ("", math.inf)
        self.change(config)

    @property
    def yields(self) -> bool:
        return self.config.yields

    def change(self, config: LimitsConfig) -> None:
        """By other settings from now on. Raises `ConfigError`, and then nothing has changed."""
        config.check()
        self.config = config
        if config.month_bytes and self._usage is None:
            self._usage = Usage(self._directory)
        self.look()

    # -- what may go

    def wait_s(self, *, backfill: bool = False) -> float:
        """How long until a message may go; 0 = now."""
        now_s = self._clock()
        wait_s = self._total.wait_s(now_s)
        return max(wait_s, self._backfill.wait_s(now_s)) if backfill else wait_s

    def sent(self, message_bytes: int, *, backfill: bool = False) -> None:
        """A message was handed to the link, whatever `wait_s` said."""
        size = on_the_wire(message_bytes)
        self._sent_bytes += size
        self._total.sent(size)
        if backfill:
            self._backfill.sent(size)

    def yield_to(self, rate_bps: float) -> None:
        """What the link carries beside others: with `yield`, nothing goes faster, and in small pieces."""
        self._gentle_bps = rate_bps if self.yields else math.inf
        self._pace()

    # -- what went

    def connected(self) -> None:
        self._carried, self._sent_bytes = Carried(), 0

    def measured(self, carried: Carried | None) -> None:
        """What the connection has carried so far, None where the system does not say."""
        worked_out, self._sent_bytes = self._sent_bytes, 0
        if carried is None:
            self._count(worked_out)
            return
        news, self._carried = carried.since(self._carried), carried
        self._total.sent(news.up_bytes - worked_out)  # what was sent twice, or is still to go
        self._count(news.up_bytes + news.down_bytes)

    def _count(self, size: int) -> None:
        metrics.CARRIED.inc(size)
        if self._usage is not None and size:
            self._usage.count(size, self._gateway_s())

    # -- what holds

    def look(self) -> None:
        """See what holds now."""
        now_s = self._now_s()
        before, self.now = self.now, holding(self.config, self._usage.slots if self._usage else {}, now_s)
        self._pace()
        metrics.LIMIT.set(self.now.total_bps)
        if (month := self.now.month) is not None:
            metrics.MONTH_USED.set(month.used_bytes)
            metrics.MONTH_LIMIT.set(month.limit_bytes)
            metrics.MONTH_FORECAST.set(math.nan if month.ends_at_bytes is None else month.ends_at_bytes)
        self._say(before, now_s)

    async def run(self) -> None:
        """Until cancelled; `close` afterwards."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()
            if self._usage is not None and self._clock() - self._saved_s >= SAVE_S:
                self._saved_s = self._clock()
                await self._usage.save()

    def close(self) -> None:
        if self._usage is not None:
            self._usage.close()

    def _pace(self) -> None:
        now_s, gentle = self._clock(), self._gentle_bps < math.inf
        self._total.set(min(self.now.total_bps, self._gentle_bps), gentle=gentle, now_s=now_s)
        self._backfill.set(min(self.now.backfill_bps, self._gentle_bps), gentle=gentle, now_s=now_s)

    def _say(self, before: Holding, now_s: float) -> None:
        """In the log: when another limit holds, when the month's has moved far, and now and then how the month goes."""
        said, said_bps = self._said
        kind = self.now.why.partition(":")[0]
        moved = said_bps < math.inf and abs(self.now.total_bps - said_bps) > _NEWS * said_bps
        if kind != said or moved:
            self._said = (kind, self.now.total_bps)
            if self.now.why or before.why:
                told = {"month": self.month()} if self.now.month is not None else {}
                log.info("the uplink's limit has changed", now=self.now.why or "none", **told)
        if self.now.month is not None and self._clock() - self._said_s >= SAY_S:
            self._said_s = self._clock()
            short = self.now.month.reached_s is not None
            (log.warning if short else log.info)(self.month())

    def month(self) -> str:
        """How the month goes, in a sentence; '' without an allowance."""
        return words.month(self.now.month, self.config.zone) if self.now.month is not None else ""

    def _now_s(self) -> float:
        gateway_s = self._gateway_s()
        return self._wall_s() if gateway_s is None else gateway_s
