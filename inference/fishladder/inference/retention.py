"""How much of each camera's results is kept: as long and as much as the settings say, and no more than there is room
for in the state store, which has to take claims, positions and commits for ever.
"""

#: Of the store's memory limit, for the results of all cameras: what they take besides their own bytes (entries, the
#: words for the audit), cursors, ledgers and its clients' buffers need the rest.
_SHARE = 0.5
#: A store so full has less for results at each look, down to the least part, until it is not; then slowly more again.
_FULL, _FREE = 0.97, 0.9
_LESS, _MORE, _LEAST_PART = 0.5, 1.1, 1 / 64
#: Of each camera, whatever the limit is: who reads results as they come (sinks, the live page) needs a moment.
_LEAST_BYTES = 64 << 10


class Retention:
    """The bound of each camera."""

    def __init__(self, keep_bytes: int, keep_ms: int) -> None:
        self.keep_ms = keep_ms
        self._most_bytes = keep_bytes
        self.keep_bytes = keep_bytes
        self._part = 1.0  # of the share

    def bound(self, limit_bytes: int, cameras: int, used_bytes: int = 0) -> None:
        """The state store's memory limit (0 = none), how many cameras there are in all, and what is used of it."""
        if not limit_bytes or used_bytes < limit_bytes * _FREE:
            self._part = min(self._part * _MORE, 1.0)
        elif used_bytes > limit_bytes * _FULL:
            self._part = max(self._part * _LESS, _LEAST_PART)
        room = int(limit_bytes * _SHARE * self._part) // max(cameras, 1) if limit_bytes else self._most_bytes
        self.keep_bytes = min(self._most_bytes, max(room, _LEAST_BYTES))
