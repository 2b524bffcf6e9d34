"""Which queue stands: from which on a link is full, and up to which more of it may be tried. Pure."""

from typing import NamedTuple

#: A standing queue means too much is sent, or that more may be tried; as long as a usual unit takes, it is none.
FULL_S, FREE_S = 0.035, 0.02
#: The same where units are this short, as those of several cameras are: then no keyframe comes on top that is long.
SHORT_S, FULL_OF_SHORT_S, FREE_OF_SHORT_S = 0.015, 0.045, 0.025
#: The same where backfill uses what live leaves: it gives way before live waits for it.
BACKFILL_FULL_S, BACKFILL_FREE_S = 0.02, 0.012
#: Who has less than this part of what TCP has seen a link carry stands by as much longer a queue, up to so many times
#: as long: whoever has most gives way first, until all have the same.
FAIR, PATIENT = 0.5, 2.0


class Standing(NamedTuple):
    """Seconds of queue: the link is full from `full_s` on, and more may be tried below `free_s`."""

    full_s: float
    free_s: float

    def times(self, more: float) -> "Standing":
        return Standing(self.full_s * more, self.free_s * more)


#: Where others on the link shall not notice us: a queue of one packet of a thin link is none, two are one. Units are
#: then timed from when their last piece went, so their own length does not count.
GENTLE = Standing(0.015, 0.008)


def standing(unit_s: float, *, own_s: float, backfills: bool, patient: float = 1.0) -> Standing:
    """Where a usual unit is `unit_s` long on the wire, of which `own_s` are not taken for a queue; `patient`: for so
    many times as long a queue is stood by (`patience`).
    """
    full_s, free_s = (FULL_OF_SHORT_S, FREE_OF_SHORT_S) if unit_s < SHORT_S else (FULL_S, FREE_S)
    if backfills:
        full_s, free_s = BACKFILL_FULL_S, BACKFILL_FREE_S
    return Standing(max(full_s * patient, unit_s), max(free_s * patient, own_s))


def patience(came_bps: float, carries_bps: float) -> float:
    """By how much longer a queue is stood by than by who is alone on the link: each then keeps about as many bytes in
    it, which makes the shares of a drop-tail queue equal (as TCP Vegas does; Low, Peterson and Wang 2002). Of
    `carries_bps` so much came through lately. Who is alone has more than half where units are of several packets. On
    thinner links TCP's word is twice too much, since it counts bursts of two packets, and who is alone is patient too.
    """
    return min(max(FAIR * carries_bps / came_bps, 1.0), PATIENT) if came_bps > 0.0 else 1.0
