"""Which of the frames that were not inferred a person would accept, given what was done to the system. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from chaos.plan import Kind
from chaos.witness import Seen

from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position

#: Faults that a reason needs before it is accepted.
BY_FAULT: dict[Fate, set[Kind]] = {
    Fate.ENCODER: {Kind.CAMERA_KILLED, Kind.AGENT_KILLED, Kind.AGENT_RESTARTED, Kind.AGENT_PAUSED},
    Fate.SPOOL_FULL: {Kind.DISK_FULL},
}

#: What a sender by WHIP may lose: it has no spool, nobody acknowledges anything, and nobody sends a packet again for
#: long. A gateway numbers what it has put together, so what is lost before that is no loss, but a gap.
BY_WHIP = frozenset({Fate.SHED, Fate.LOG_LOST, Fate.NO_REFERENCE})


@dataclass(frozen=True, slots=True)
class Loss:
    """`first..last` of a camera were dropped; `where` says when that was committed, and by whom."""

    camera: str
    epoch: int
    first: int
    last: int
    fate: Fate
    where: str = ""

    def __str__(self) -> str:
        return f"{self.camera} {self.epoch}-{self.first}..{self.last} {self.fate.label} {self.where}".rstrip()


def unacceptable(
    losses: Sequence[Loss],
    seen: Mapping[str, Mapping[Position, Seen]],
    set_aside: Mapping[str, Collection[Position]],
    hit: Collection[Kind],
) -> list[Loss]:
    """Those that nobody would accept. Poison that was `set_aside` (if only as context of others) may cost its unit, and
    those that follow up to the next entry point, as they refer to it; of what was not seen, nothing is believed.
    """

    def poison(camera: str, at: Position) -> bool:
        return at in seen[camera] and seen[camera][at].poison and at in set_aside[camera]

    def hangs_on_poison(camera: str, at: Position) -> bool:
        units = seen[camera]
        while at in units and not units[at].entry_point and at.seq > 1:
            at = Position(at.epoch, at.seq - 1)
            if poison(camera, at):
                return True
        return False

    found = []
    for loss in losses:
        seqs = [Position(loss.epoch, seq) for seq in range(loss.first, loss.last + 1)]
        match loss.fate:
            case Fate.UNDECODABLE:
                bad = [at for at in seqs if not poison(loss.camera, at)]
            case Fate.NO_REFERENCE:
                bad = [at for at in seqs if not hangs_on_poison(loss.camera, at)]
            case fate:
                bad = [] if BY_FAULT.get(fate, set()) & set(hit) else seqs
        found += [Loss(loss.camera, at.epoch, at.seq, at.seq, loss.fate, loss.where) for at in bad]
    return found
