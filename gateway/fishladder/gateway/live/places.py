"""Who may watch how much: nobody takes so much of this process that others find it full. Pure."""

from collections import Counter

from fishladder.gateway.limits import Limits, Occupancy

#: What one holder of tokens may have is so much of all, and no less than so many.
_SHARE, _LEAST_VIEWERS, _LEAST_CAMERAS = 4, 4, 64


class WatchPlaces:
    """Viewers, and the cameras they watch, by token holder. A camera that several watch is followed once: it counts
    once for each holder, and once in all. `shared`: everybody comes by one name, and nobody has a share of his own.
    """

    def __init__(self, limits: Limits, *, shared: bool = False) -> None:
        self._limits = limits
        share = 1 if shared else _SHARE
        self._viewers_each = max(limits.viewers // share, _LEAST_VIEWERS)
        self._cameras_each = max(limits.watched_cameras // share, _LEAST_CAMERAS)
        self._viewers = Occupancy(self._viewers_each, limits.viewers)
        self._cameras: dict[str, Counter[str]] = {}
        self._in_all: Counter[str] = Counter()

    def enter(self, who: str, cameras: list[str]) -> str:
        """One more viewer of these cameras. Says why not, where that would be too many."""
        mine = self._cameras.get(who, Counter())
        if len(mine.keys() | set(cameras)) > self._cameras_each:
            return f"one token may watch {self._cameras_each} cameras at once"
        if len(self._in_all.keys() | set(cameras)) > self._limits.watched_cameras:
            return f"{self._limits.watched_cameras} cameras, all that may be watched at once, are watched already"
        if not self._viewers.enter(who):
            most = f"{self._viewers_each} pages with pictures at once, all together {self._limits.viewers}"
            return f"one token may open {most}"
        self._cameras[who] = mine + Counter(cameras)
        self._in_all.update(cameras)
        return ""

    def leave(self, who: str, cameras: list[str]) -> None:
        self._viewers.leave(who)
        self._cameras[who] -= Counter(cameras)  # which also forgets those that nobody watches any more
        self._in_all -= Counter(cameras)
        if not self._cameras[who]:
            del self._cameras[who]
