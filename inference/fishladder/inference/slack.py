"""When a worker gives memory back to the system: once a backlog is worked off. See `runtime.heap`."""

#: A backlog of less leaves nothing worth the while.
_WORTH_BYTES = 1 << 20
#: It is worked off when no more than so much of it is left.
_LEFT = 0.125


class Slack:
    """Pure."""

    def __init__(self) -> None:
        self._most = 0

    def due(self, backlog_bytes: int) -> bool:
        """Whether a backlog has been worked off since it last was; to be asked now and then."""
        self._most = max(self._most, backlog_bytes)
        if self._most < _WORTH_BYTES or backlog_bytes > self._most * _LEFT:
            return False
        self._most = 0
        return True
