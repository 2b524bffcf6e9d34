"""Sharing what an uplink carries among the cameras of a site. Pure."""

from collections.abc import Sequence
from typing import NamedTuple


class Claim(NamedTuple):
    """`least_bps` it gets before others get more than theirs; more than `most_bps` is of no use to it."""

    weight: float
    least_bps: float
    most_bps: float


def share(total_bps: float, claims: Sequence[Claim]) -> list[float]:
    """Max-min fair by weight: what each gets, in order. The shares add up to `total_bps`, or to what all can use if
    that is less. Where not even the least ones fit, those are cut in proportion.
    """
    most = [claim.most_bps for claim in claims]
    least = [min(claim.least_bps, claim.most_bps) for claim in claims]
    if sum(most) <= total_bps:
        return most
    floor = sum(least)
    if floor >= total_bps > 0:
        return [it * total_bps / floor for it in least]
    if total_bps <= 0:
        return [0.0] * len(claims)

    def at(level: float) -> list[float]:
        """Everybody at one rate per weight, within their bounds."""
        return [min(max(level * claim.weight, low), claim.most_bps) for claim, low in zip(claims, least, strict=True)]

    # The sum is piecewise linear in the level: find its last bend below the total, and go on from there.
    pairs = list(zip(claims, least, strict=True))
    bends = [bound / claim.weight for claim, low in pairs for bound in (low, claim.most_bps)]
    level = max((bend for bend in bends if sum(at(bend)) <= total_bps), default=0.0)
    growing = sum(claim.weight for claim, low in pairs if low / claim.weight <= level < claim.most_bps / claim.weight)
    return at(level + (total_bps - sum(at(level))) / growing) if growing else at(level)
