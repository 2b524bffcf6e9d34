"""What viewers are shown, read from the store no more often than once a second however many look, and only while
somebody does.
"""

import asyncio
import time
from collections import OrderedDict

from fishladder.gateway.asking import asking
from fishladder.runtime.store import Stores
from fishladder.view.reader import StateReader
from fishladder.view.snapshot import CLOSE, FAR, Snapshot, read_snapshot

FRESH_S = 1.0
_KEPT = 64


class Snapshots:
    """Snapshots of everything, of a site or of a camera, each kept for a second."""

    def __init__(self, stores: Stores) -> None:
        self.reader = StateReader(stores.state, stores.partitions, stores.urls.state)
        self._kept: OrderedDict[str | None, tuple[float, Snapshot]] = OrderedDict()
        self._reading: dict[str | None, asyncio.Lock] = {}

    async def of(self, which: str | None) -> Snapshot:
        """Of `<site>`, `<site>/<camera>`, or None for all; without cameras if there are none. Raises
        `StoreUnavailable`.
        """
        lock = self._reading.setdefault(which, asyncio.Lock())
        try:
            async with lock:
                kept = self._kept.get(which)
                if kept is not None and time.monotonic() - kept[0] < FRESH_S:
                    return kept[1]
                async with asking(self.reader.state, "state store, reading its cameras"):
                    names = await self.reader.known_cameras(which)
                    snapshot = await read_snapshot(self.reader, names=names, depth=FAR if which is None else CLOSE)
                self._kept[which] = (time.monotonic(), snapshot)
                self._kept.move_to_end(which)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
                return snapshot
        finally:
            if not lock.locked():
                self._reading.pop(which, None)
