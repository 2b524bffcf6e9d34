"""Which fault hits whom, when, and for how long: a pure function of the seed, so that a failing run can be repeated."""

import random
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    WORKER_KILLED = "worker killed"
    WORKER_PAUSED = "worker paused"
    WORKER_RESTARTED = "worker restarted"
    GATEWAY_KILLED = "gateway killed"
    GATEWAY_PAUSED = "gateway paused"
    GATEWAY_RESTARTED = "gateway restarted"
    AGENT_KILLED = "agent killed"
    AGENT_PAUSED = "agent paused"
    AGENT_RESTARTED = "agent restarted"
    CAMERA_KILLED = "camera killed"
    LINK_UP_CUT = "link cut upwards"
    LINK_DOWN_CUT = "link cut downwards"
    LINK_CUT = "link cut"
    FRAMES_KILLED = "frame store killed"
    FRAMES_PAUSED = "frame store paused"
    FRAMES_WIPED = "frame log wiped"
    FRAMES_FULL = "frame store full"
    STATE_POWER_CUT = "state store without power"
    STATE_PAUSED = "state store paused"
    STATE_FULL = "state store full"
    DISK_FULL = "agent's disk full"
    CLOCK_STEPPED = "agent's clock stepped"
    POISON = "poison unit"


@dataclass(frozen=True, slots=True)
class Rule:
    """How often a kind comes beside others, which of `targets` it may hit, and how long it lasts, in seconds.

    `long_s`: every fifth lasts that long instead, beyond every time-out of the parts.
    """

    weight: float
    targets: tuple[str, ...]
    lasts_s: tuple[float, float] = (0.2, 2.5)
    long_s: tuple[float, float] | None = None


WORKERS, GATEWAYS = ("worker-0", "worker-1"), ("gateway-0", "gateway-1")
CAMERAS = ("bframes", "longgop", "pattern", "small")

RULES = {
    Kind.WORKER_KILLED: Rule(3, WORKERS),
    Kind.WORKER_PAUSED: Rule(2, WORKERS, (1.5, 5), (8, 12)),
    Kind.WORKER_RESTARTED: Rule(1, WORKERS),
    Kind.GATEWAY_KILLED: Rule(2, GATEWAYS),
    Kind.GATEWAY_PAUSED: Rule(2, GATEWAYS, (1.5, 6), (24, 30)),
    Kind.GATEWAY_RESTARTED: Rule(1, GATEWAYS),
    Kind.AGENT_KILLED: Rule(1, ("agent",)),
    Kind.AGENT_PAUSED: Rule(1, ("agent",), (1.5, 6), (24, 30)),
    Kind.AGENT_RESTARTED: Rule(0.7, ("agent",)),
    Kind.CAMERA_KILLED: Rule(1.5, CAMERAS),
    Kind.LINK_UP_CUT: Rule(1.5, ("link",), (1, 6), (24, 30)),
    Kind.LINK_DOWN_CUT: Rule(1.5, ("link",), (1, 6), (24, 30)),
    Kind.LINK_CUT: Rule(1.5, ("link",), (1, 6), (24, 30)),
    Kind.FRAMES_KILLED: Rule(1.5, ("frames",), (0.2, 3)),
    Kind.FRAMES_PAUSED: Rule(1, ("frames",), (1, 4), (8, 12)),
    Kind.FRAMES_WIPED: Rule(2, ("frames",), (0, 0)),
    Kind.FRAMES_FULL: Rule(1.5, ("frames",), (2, 8)),
    Kind.STATE_POWER_CUT: Rule(2, ("state",), (0.2, 3)),
    Kind.STATE_PAUSED: Rule(1, ("state",), (1, 4), (8, 12)),
    Kind.STATE_FULL: Rule(1.5, ("state",), (2, 8)),
    Kind.DISK_FULL: Rule(1, ("disk",), (3, 10)),
    Kind.CLOCK_STEPPED: Rule(1, ("clock",), (3, 10)),
    Kind.POISON: Rule(1, ("poison",), (8, 14)),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Begins `at_s` after the first and lasts `for_s`: a pause, a cut, or until what was killed starts again."""

    number: int
    at_s: float
    kind: Kind
    target: str
    for_s: float


def schedule(seed: int, faults: int, kinds: tuple[Kind, ...] = tuple(Kind), every_s: float = 2.2) -> list[Fault]:
    """So many faults, about `every_s` apart, each kind at least once where there are enough of them. They overlap, but
    never two at one target.
    """
    rng = random.Random(f"{seed}/{','.join(kinds)}")
    order = list(kinds)
    rng.shuffle(order)
    free_at: dict[str, float] = {}
    planned: list[Fault] = []
    at_s = 0.0
    while len(planned) < faults:
        if len(planned) < len(order) <= faults:
            kind = order[len(planned)]
        else:
            kind = rng.choices(kinds, [RULES[it].weight for it in kinds])[0]
        rule = RULES[kind]
        target = rng.choice(rule.targets)
        lasts = rule.long_s if rule.long_s and rng.random() < 0.2 else rule.lasts_s
        for_s = round(rng.uniform(*lasts), 2)
        begins_s = max(at_s, free_at.get(target, 0.0))
        if begins_s > at_s and len(planned) >= len(order):
            continue  # it is the turn of somebody else
        planned.append(Fault(len(planned), round(begins_s, 2), kind, target, for_s))
        free_at[target] = begins_s + for_s + 0.5
        at_s += rng.expovariate(1 / every_s)
    return sorted(planned, key=lambda fault: fault.at_s)
