"""The rates at which sites and cameras may send, as used up by this process, and what sites hold of its memory. Pure; a
camera's meter outlives its connection, so that connecting anew gives nothing back.
"""

from collections import Counter

from fishladder.gateway.limits import Limits, Meter
from fishladder.wire.ids import site_of


class Quotas:
    """Call `tick` now and then: meters are refilled there."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._now = now
        self._sites: dict[str, Meter] = {}
        self._cameras: dict[str, Meter] = {}
        self._held: Counter[str] = Counter()

    def site(self, site: str) -> Meter:
        meter = self._sites.get(site)
        if meter is None:
            meter = self._sites[site] = Meter(self._limits.of(site).site_bps, self._now)
        return meter

    def camera(self, camera: str) -> Meter:
        meter = self._cameras.get(camera)
        if meter is None:
            meter = self._cameras[camera] = Meter(self._limits.of(site_of(camera)).camera_bps, self._now)
        return meter

    def hold(self, site: str, more_bytes: int) -> int:
        """Count what a site's unfinished units hold in memory, or hold no more; how much that is now."""
        self._held[site] += more_bytes
        held = self._held[site]
        if not held:
            del self._held[site]
        return held

    def tick(self, now: float) -> None:
        """Refill all, and forget those nobody uses."""
        self._now = now
        for meters in (self._sites, self._cameras):
            for meter in meters.values():
                meter.refill(now)
            for name in [name for name, meter in meters.items() if meter.full]:
                del meters[name]
