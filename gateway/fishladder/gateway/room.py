"""Says when agents wait because the frame store has no room, and when that is over: once each, since workers that are
too slow or gone show in nothing else here. Pure but for the log.
"""

import structlog

log = structlog.get_logger(__name__)

#: At its limit a store has room for a moment now and then; only when nobody has waited for so long is it over.
OVER_AFTER_S = 5.0


class RoomWatch:
    def __init__(self) -> None:
        self.waiting = 0  #: connections, at the last look
        self._short = False
        self._last_s = 0.0

    def look(self, waiting: int, now_s: float, *, used_bytes: int, limit_bytes: int) -> None:
        """Take in how many connections wait for room at `now_s` (any steady clock)."""
        self.waiting = waiting
        if waiting:
            self._last_s = now_s
            if not self._short:
                self._short = True
                log.warning(
                    "frame store has no room, agents wait: are workers running, and fast enough?",
                    waiting=waiting,
                    used_bytes=used_bytes,
                    limit_bytes=limit_bytes,
                )
        elif self._short and now_s - self._last_s >= OVER_AFTER_S:
            self._short = False
            log.info("frame store has room for everybody again", used_bytes=used_bytes, limit_bytes=limit_bytes)

    def __str__(self) -> str:
        """For a sentence on the frame store."""
        return f", but no room: {self.waiting} connection(s) wait" if self.waiting else ""
