"""What a few seconds of a camera's stream say about its settings: keyframes too far apart, a codec that stretches them
as it likes, no place where a decoder could start exactly. Pure; `check` watches and prints.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fishladder.edge.capture_records import CapturedUnit
from fishladder.wire.unit import Flag

#: A take-over or a viewer waits for the next keyframe, and what a worker replays is bounded by 10 s.
LONG_GOP_S = 4.5
#: Keyframes of an ordinary encoder are as far apart as the last ones; by so much they differ only on purpose.
_STRETCH = 1.5
#: A keyframe this many times as large as what lies between, for so long, is a scene that a smart codec leaves alone.
_SMART_RATIO = 40.0


@dataclass(frozen=True, slots=True)
class Health:
    """`gop_s` None: fewer than two keyframes were seen."""

    gop_s: float | None
    kbps: float
    warnings: tuple[str, ...]

    @property
    def keyframes(self) -> str:
        return f"a keyframe every {self.gop_s:.1f} s" if self.gop_s is not None else "one keyframe"


def span_s(units: Sequence[CapturedUnit]) -> float:
    """The time of the scene that they show, at least one. They may have come faster: a camera may begin with what it
    still had of the last keyframe's group.
    """
    shown = [unit.pts_us for unit in units]
    shown_us = max(shown) - min(shown)
    return (shown_us if shown_us > 0 else units[-1].mono_us - units[0].mono_us) / 1e6


def judge(units: Sequence[CapturedUnit], *, passthrough: bool) -> Health:
    """`units` as they came, at least one; what we encode ourselves is only measured."""
    clean = [unit.pts_us for unit in units if unit.flags & Flag.CLEAN]
    gaps_s = [(after - before) / 1e6 for before, after in pairwise(clean)]
    seconds = span_s(units)
    kbps = sum(len(unit.payload) for unit in units[:-1]) * 8 / 1000 / seconds if seconds > 0 else 0.0
    gop_s = sum(gaps_s) / len(gaps_s) if gaps_s else None
    if not passthrough:
        return Health(gop_s, kbps, ())
    return Health(gop_s, kbps, tuple(_warnings(units, gaps_s, clean, seconds)))


def _warnings(
    units: Sequence[CapturedUnit], gaps_s: Sequence[float], clean: Sequence[int], seconds: float
) -> list[str]:
    found = []
    if not clean:
        if any(unit.flags & Flag.RECOVERY for unit in units):
            found.append("no keyframe a decoder can start at exactly (open GOPs or intra refresh): set closed GOPs")
        else:
            found.append(f"no keyframe within {seconds:.0f} s: set the camera's I-frame interval to 2 s")
        return found
    # The part after the last keyframe counts as well: it has lasted that long already.
    longest_s = max([*gaps_s, (units[-1].pts_us - clean[-1]) / 1e6])
    smart = _looks_smart(units, gaps_s)
    if smart:
        found.append(
            f"{smart}: it looks like a smart codec (H.264+, Smart Codec, Zipstream): turn that off, or its "
            "dynamic GOP at least"
        )
    if longest_s > LONG_GOP_S:
        least = "" if gaps_s and longest_s == max(gaps_s) else "at least "
        found.append(f"keyframes are {least}{longest_s:.0f} s apart: set the camera's I-frame interval to 2 s")
    return found


def _looks_smart(units: Sequence[CapturedUnit], gaps_s: Sequence[float]) -> str:
    """What gives it away, or ''."""
    if len(gaps_s) >= 2 and max(gaps_s) > _STRETCH * min(gaps_s) and max(gaps_s) - min(gaps_s) > 1.0:
        return f"keyframes come after {min(gaps_s):.1f} to {max(gaps_s):.1f} s"
    keys = [len(unit.payload) for unit in units if unit.flags & Flag.CLEAN]
    between = [len(unit.payload) for unit in units if not unit.flags & Flag.CLEAN]
    longest = (bool(gaps_s) and max(gaps_s) > LONG_GOP_S) or not gaps_s
    if keys and len(between) >= 20 and longest:
        typical, key = sorted(between)[len(between) // 2], sum(keys) / len(keys)
        if typical * _SMART_RATIO < key:
            return f"keyframes are {key / max(typical, 1):.0f} times as large as what comes between"
    return ""
