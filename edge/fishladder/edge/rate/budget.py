"""Sharing what an uplink carries among the cameras of a site: max-min fair by weight, nobody more than it can use. Pure."""

from collections.abc import Sequence
from typing import NamedTuple


class Claim(NamedTuple):
    """`most_bps`: more is of no use to it; `least_bps` it gets before others get more than theirs."""

    weight: float
    least_bps: float
    most_bps: float


def share(total_bps: float, claims: Sequence[Claim]) -> list[float]:
    """What each gets, in order. The shares add up to `total_bps`, or to what all can use if that is less.

    Where not even the least ones fit, they are cut in proportion.
    """
    least = [min(claim.least_bps, claim.most_bps) for claim in claims]
    floor = sum(least)
    if floor >= total_bps:
        return [it * total_bps / floor if floor else 0.0 for it in least]
    shares = least[:]
    growing = [index for index, claim in enumerate(claims) if claim.most_bps > least[index]]
    while growing:
        # Raise all that still grow to one level (a rate per weight), until the first of them has enough.
        fixed = sum(shares[index] for index in range(len(claims)) if index not in growing)
        level = _level(total_bps - fixed, [claims[index] for index in growing], [least[index] for index in growing])
        enough = [index for index in growing if level * claims[index].weight >= claims[index].most_bps]
        if not enough:
            for index in growing:
                shares[index] = max(level * claims[index].weight, least[index])
            break
        for index in enough:
            shares[index] = claims[index].most_bps
        growing = [index for index in growing if index not in enough]
    return shares


def _level(total_bps: float, claims: Sequence[Claim], least: Sequence[float]) -> float:
    """The rate per weight at which `sum(max(level * weight, least))` is the total."""
    order = sorted(range(len(claims)), key=lambda index: least[index] / claims[index].weight)
    weight, rest = 0.0, total_bps - sum(least)
    level = 0.0
    for place, index in enumerate(order):
        weight += claims[index].weight
        begins = least[index] / claims[index].weight
        rest += least[index]
        level = rest / weight
        following = order[place + 1] if place + 1 < len(order) else None
        if following is None or level <= least[following] / claims[following].weight:
            break
        del begins
    return max(level, 0.0)
