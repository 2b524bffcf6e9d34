"""How much of each camera's results is kept: as long and as much as the settings say, and no more than there is room
for in the state store, which has to take claims, positions and commits for ever.
"""

#: Of the store's memory limit, for the results of all cameras: what they take besides their own bytes (entries, the
#: words for the audit), cursors, ledgers and its clients' buffers need the rest.
_SHARE = 0.5
#: Of each camera, whatever the limit is: who reads results as they come (sinks, the live page) needs a moment.
_LEAST_BYTES = 64 << 10


class Retention:
    """The bound of each camera."""

    def __init__(self, keep_bytes: int, keep_ms: int) -> None:
        self.keep_ms = keep_ms
        self._most_bytes = keep_bytes
        self.keep_bytes = keep_bytes

    def bound(self, limit_bytes: int, cameras: int) -> None:
        """The state store's memory limit (0 = none) and how many cameras there are in all."""
        room = int(limit_bytes * _SHARE) // max(cameras, 1) if limit_bytes else self._most_bytes
        self.keep_bytes = min(self._most_bytes, max(room, _LEAST_BYTES))
