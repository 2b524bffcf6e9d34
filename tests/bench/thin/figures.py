"""The figures of one run, from the frames that came. Pure."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import quantiles
from typing import Any

from thin.cases import Case
from thin.frames import Camera

#: What comes before is how a new connection finds its rate.
SETTLED_S = 3.0
FREEZE_S = 0.3
#: The end of a run, in which what is captured may not have come yet, and in which what came may not have been read.
_END_S, _UNREAD_S = 2.0, 0.25
#: Beside others that have just begun, or begun again, a flow is still finding its rate.
TOGETHER_S = 10.0


def figures(case: Case, cameras: Sequence[Camera], seconds: float) -> dict[str, Any]:
    """Ages are above those of an empty link; `used` and rates are of what came as live."""

    def came(since_s: float, until_s: float, which: Sequence[Camera] = cameras) -> float:
        return sum(it.size for camera in which for it in camera.frames if since_s <= it.received_s < until_s) * 8

    def ages_ms(since_s: float, until_s: float) -> list[float]:
        return [
            (it.received_s - it.captured_s) * 1000 - base_ms
            for camera, base_ms in zip(cameras, _bases_ms(case), strict=True)
            for it in camera.frames
            if it.decodable and since_s <= it.captured_s < until_s
        ]

    rates = [(0.0, case.rate), *case.steps]
    several = len(case.steps) > 1 or bool(case.tcp)
    last_at, last_rate = rates[-1]
    since_s = SETTLED_S if several or not case.steps else last_at + 5
    found: dict[str, Any] = {"used": round(came(since_s, seconds) / capacity_bits(case, since_s, seconds), 3)}
    all_ages = ages_ms(since_s, seconds - _END_S)
    for name, at in (("p50", 49), ("p95", 94), ("p99", 98)):
        found[f"age_{name}_ms"] = round(_cuts(all_ages)[at]) if len(all_ages) > 10 else None
    if len(case.steps) == 1:
        after = ages_ms(last_at, last_at + 5)
        found["after_step_p99_ms"] = round(_cuts(after)[98]) if len(after) > 10 else None
        by_second = [came(last_at + s, last_at + s + 1) / (last_rate * 1e6) for s in range(8)]
        found["used_by_second"] = [round(it, 2) for it in by_second]
        whole_s = range(int(seconds - last_at))
        used_s = [s + 1 for s in whole_s if came(last_at + s, last_at + s + 1) >= 0.9 * last_rate * 1e6]
        never = len(whole_s) + 1 if whole_s else None
        found["used_after_s"] = min(used_s, default=never)
    times = [sorted(it.received_s for it in camera.frames if it.decodable) for camera in cameras]
    gaps = [gap for index, one in enumerate(times) for gap in _gaps_s(case, index, one, seconds)]
    found["freezes"] = sum(gap > FREEZE_S for gap in gaps)
    found["longest_gap_ms"] = round(max(gaps, default=0.0) * 1000)
    sent = sum(len(camera.frames) for camera in cameras)
    found["decodable"] = round(sum(map(len, times)) / max(sent, 1), 4)
    found["decodable_of_captured"] = _of_captured(case, cameras, seconds)
    found["fps"] = [round(sum(t > since_s for t in one) / (seconds - since_s), 1) for one in times]
    minutes = max((seconds - since_s) / 60 * len(cameras), 1e-9)
    keyframes = sum(it.key and since_s <= it.received_s < seconds for camera in cameras for it in camera.frames)
    found["keyframes_min"] = round(keyframes / minutes, 1)  # of each camera
    together = together_s(case, since_s, seconds)
    long_s = max(sum(until - since for since, until in together), 1e-9)
    kbps = [sum(came(*window, [camera]) for window in together) / long_s / 1000 for camera in cameras]
    found["kbps"] = [round(it) for it in kbps]
    if len(cameras) > 1:
        per_weight = [rate / weight for rate, weight in zip(kbps, case.cameras, strict=True)]
        fair = sum(kbps) / sum(case.cameras)
        found["share_error"] = round(max(abs(it / fair - 1) for it in per_weight), 3) if fair else None
        found["fairness"] = jain(kbps)
    if case.quiet_s:
        found |= _activity(case, cameras, seconds)
    if case.outage is not None:
        found |= _backfill(case, cameras, ages_ms, seconds)
    found["late_pictures_ms"] = round(max((_late_ms(case, it) for it in cameras), default=0.0))
    found["declared"] = {
        fate: sum(it.declared.get(fate, 0) for it in cameras) for camera in cameras for fate in camera.declared
    }
    return found


def capacity_bits(case: Case, since_s: float, until_s: float) -> float:
    """What the uplink could carry."""
    rates = [(0.0, case.rate), *case.steps]
    ends = [at for at, _ in rates[1:]] + [float("inf")]
    return sum(
        max(min(until_s, end) - max(since_s, at), 0.0) * rate * 1e6 for (at, rate), end in zip(rates, ends, strict=True)
    )


def together_s(case: Case, since_s: float, seconds: float) -> list[tuple[float, float]]:
    """When all flows are at it, each for a while already."""
    since_s = max([since_s, *(start + TOGETHER_S for start in case.starts)])
    if case.pause is None:
        return [(since_s, seconds)]
    _, begin_s, end_s = case.pause
    return [(since, until) for since, until in ((since_s, begin_s), (end_s + TOGETHER_S, seconds)) if since < until]


def jain(rates: Sequence[float]) -> float | None:
    """Jain's fairness index (DEC-TR-301): 1 where all have the same, 1/n where one has all."""
    squares = sum(it * it for it in rates)
    return round(sum(rates) ** 2 / (len(rates) * squares), 3) if squares else None


def _gaps_s(case: Case, index: int, times: Sequence[float], seconds: float) -> list[float]:
    """For how long each picture of a camera stood, the last one to the end of the run, less where it was paused."""
    since_s = SETTLED_S + (case.starts[index] if case.starts else 0.0)
    until_s = seconds - _UNREAD_S
    shown = [since_s, *(it for it in times if since_s < it < until_s), until_s]
    paused = case.pause if case.pause is not None and case.pause[0] == index else (index, seconds, seconds)
    return [b - a for a, b in pairwise(shown) if b < paused[1] or a > paused[2] + SETTLED_S]


def _of_captured(case: Case, cameras: Sequence[Camera], seconds: float) -> float:
    """Of the pictures that were due, how many came and could be decoded."""
    starts = case.starts or [0.0] * len(cameras)
    windows = [(SETTLED_S + start, seconds - _END_S) for start in starts]
    came = sum(
        since <= it.captured_s < until and it.decodable
        for camera, (since, until) in zip(cameras, windows, strict=True)
        for it in camera.frames
    )
    due = sum((until - since) * case.fps for since, until in windows)
    return round(min(came / max(due, 1), 1.0), 3)  # a camera that was held up makes up for it


def _bases_ms(case: Case) -> list[float]:
    delays = case.delays_ms or [0.0] * len(case.cameras)
    return [case.rtt_ms / 2 + delay for delay in delays]


def _cuts(values: list[float]) -> list[float]:
    return quantiles(values, n=100, method="inclusive")


def _late_ms(case: Case, camera: Camera) -> float:
    """How late pictures were taken, by the 95th percentile: a machine that keeps up takes them when they are due."""
    lags = [it.captured_s - it.index / case.fps for it in camera.frames if it.captured_s > SETTLED_S]
    return (_cuts(lags)[94] - min(lags)) * 1000 if len(lags) > 10 else 0.0


def _activity(case: Case, cameras: Sequence[Camera], seconds: float) -> dict[str, Any]:
    """The first camera's part of what is its fair share: while nothing happens there, and from 2 s after on."""
    frames = cameras[0].frames
    if not frames:
        return {}
    begins_s = case.quiet_s + min(it.captured_s - it.index / case.fps for it in frames)

    def part(since_s: float, until_s: float) -> float:
        rates = [
            sum(it.size for it in camera.frames if since_s <= it.received_s < until_s) / case.cameras[index]
            for index, camera in enumerate(cameras)
        ]
        return rates[0] * len(rates) / max(sum(rates), 1)

    return {
        "share_before": round(part(begins_s - 10, begins_s), 2),
        "share_after_2s": round(part(begins_s + 2, begins_s + 6), 2),
        "share_by_second": [round(part(begins_s + s, begins_s + s + 1), 2) for s in range(6)],
    }


def _backfill(case: Case, cameras: Sequence[Camera], ages_ms: Any, seconds: float) -> dict[str, Any]:
    """Live beside it against live alone, before the outage."""
    assert case.outage is not None
    late = sorted(at for it in cameras for at in it.late if at[0] > case.outage[1])
    if not late:
        return {"backfilled": 0}
    size = sum(size for _, size in late)
    # At full tilt, that is until nine tenths of it had come.
    done, until_s = 0, late[-1][0]
    for at_s, one in late:
        done += one
        if done >= 0.9 * size:
            until_s = at_s
            break
    since_s = max(case.outage[1] + SETTLED_S, late[0][0])
    alone, beside = ages_ms(SETTLED_S, case.outage[0] - 1), ages_ms(since_s, min(until_s, seconds - _END_S))
    if len(alone) < 20 or len(beside) < 20:
        return {"backfilled": len(late)}
    return {
        "backfilled": len(late),
        "backfill_kbps": round(done * 8 / max(until_s - late[0][0], 0.1) / 1000),
        "backfill_s": round(until_s - late[0][0], 1),
        "backfill_adds_ms": round(_cuts(beside)[94] - _cuts(alone)[94]),
    }
