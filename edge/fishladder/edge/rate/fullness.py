"""For how long a link has been too thin for what is sent, on balance: what passed-on cameras leave out of their streams
is lost for good, and stores and gateways stand still for seconds too. Pure; whether it is full at a moment is for
`estimator` to say.
"""

from dataclasses import dataclass

from fishladder.edge.link_state import LinkState

#: Before a camera leaves anything out of its stream for good, the link has been full for so long. Time when it was not
#: is taken off, by half; where TCP sees no queue, a quarter counts.
THIN_S, FREE_COUNTS, DENIED_COUNTS = 4.0, 0.5, 0.25


@dataclass(slots=True)
class Fullness:
    """One connection's. Times in seconds."""

    _full_s: float = 0.0
    _waits_s: float = 0.0

    def look(self, passed_s: float, link: LinkState, *, full: bool, stalled: bool, waits: bool) -> None:
        """`full`: the link is, by its acknowledgements; `stalled`: none came, so nothing follows; `waits`: something
        does, whether that is the link's doing or not.
        """
        counts_s = passed_s * (DENIED_COUNTS if link.idle else 1.0)
        self._full_s = 0.0 if stalled else _counted(self._full_s, counts_s, passed_s, holds=full)
        self._waits_s = _counted(self._waits_s, passed_s, passed_s, holds=waits)

    @property
    def thin(self) -> bool:
        """The link has been full for long enough to leave something out."""
        return self._full_s >= THIN_S

    @property
    def holds_up(self) -> bool:
        """Something has waited for as long: enough where nothing is lost by sending less."""
        return self._waits_s >= THIN_S


def _counted(so_far_s: float, counts_s: float, passed_s: float, *, holds: bool) -> float:
    return min(so_far_s + counts_s, 2 * THIN_S) if holds else max(so_far_s - passed_s * FREE_COUNTS, 0.0)
