"""What is wrong with a camera, a site, a worker or a sink, or that nothing is: the judgements behind the live page, the
REST API and `fishladder status`. Pure; figures come in, one finding goes out, the worst there is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fishladder.view.models import CameraView, Finding, Severity, UplinkView
from fishladder.view.words import count, duration, rate
from fishladder.wire.messages import Asked

#: An agent says each second how far it is; not heard of for so long, it is away.
AWAY_S = 10.0
#: A camera that is heard of but has captured nothing for so long is silent. Slow ones get some frames' time.
SILENT_S = 10.0
SILENT_FRAMES = 5
#: Frames that wait for a worker longer than this are worth a word, or are trouble.
BEHIND_S = 5.0
STUCK_S = 30.0
#: Workers renew their heartbeat several times in this time.
WORKER_AWAY_S = 10.0
SINK_AWAY_S = 15.0
SINK_BEHIND_S = 60.0
_SPOOL_FULL_SOON_S = 3600.0


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """What is known of a camera when it is judged; times in Unix microseconds, 0 = never."""

    heard_us: int
    moved_us: int
    oldest_us: int
    fps: float
    wanted_fps: float | None
    bps: float
    pending: int
    deferred: int
    unaccounted: int
    captured: int
    paused: bool = False
    asked: Asked | None = None
    thinned: str = ""  #: what the uplink takes from it that can be seen


def _ms(us: int) -> int | None:
    return us // 1000 if us else None


def judge_camera(facts: CameraFacts, now_us: int) -> Finding:
    """The first of these that holds: away, out of balance, silent, stuck, behind, paused, asked for less, backlog,
    thinned, fine.
    """
    heard_s = (now_us - facts.heard_us) / 1e6
    if not facts.heard_us:
        return Finding(Severity.DOWN, "never heard from")
    if heard_s > AWAY_S:
        return Finding(Severity.DOWN, "nothing heard", _ms(facts.heard_us))
    if facts.unaccounted:
        missing, one = count(abs(facts.unaccounted), "frame"), abs(facts.unaccounted) == 1
        has, is_ = ("has", "is") if one else ("have", "are")
        what = f"{has} no fate" if facts.unaccounted > 0 else f"{is_} counted twice"
        return Finding(Severity.TROUBLE, f"the account does not close: {missing} {what}")
    patience_s = max(SILENT_S, SILENT_FRAMES / facts.wanted_fps if facts.wanted_fps else 0.0)
    if not facts.moved_us or (now_us - facts.moved_us) / 1e6 > patience_s:
        return Finding(Severity.TROUBLE, "no picture", _ms(facts.moved_us), ", though its host answers")
    waiting = facts.pending - facts.deferred
    waited_s = (now_us - facts.oldest_us) / 1e6 if facts.oldest_us and waiting > 0 else 0.0
    if waited_s > STUCK_S:
        queue = f": {count(waiting, 'frame')} wait for a worker"
        return Finding(Severity.TROUBLE, "not analysed", _ms(facts.oldest_us), queue)
    if waited_s > BEHIND_S:
        return Finding(Severity.NOTE, f"analysis is {duration(waited_s)} behind")
    if facts.paused:
        return Finding(Severity.NOTE, "paused")
    if facts.asked is not None and facts.asked.why == "workers" and facts.asked.fps:
        of = f" of {facts.wanted_fps:g}" if facts.wanted_fps else ""
        less = f": analysed at {facts.asked.fps:.2g}{of} fps"
        return Finding(Severity.NOTE, "workers are behind", facts.asked.at_ms, less)
    if facts.deferred:
        return Finding(Severity.NOTE, f"live; {count(facts.deferred, 'frame')} from an outage still to come")
    if facts.thinned:
        return Finding(Severity.NOTE, f"live; thin uplink, {facts.thinned}")
    return Finding(Severity.OK, f"live, {facts.fps:.1f} fps, {rate(facts.bps)}" if facts.fps >= 0.05 else "live")


def judge_site(cameras: Sequence[CameraView], uplink: UplinkView) -> Finding:
    """All cameras away is the uplink's (or the whole site's) doing; else what is wrong with the worst of them."""
    down = [it for it in cameras if it.finding.severity is Severity.DOWN]
    trouble = [it for it in cameras if it.finding.severity is Severity.TROUBLE]
    in_use = bool(
        uplink.spool_bytes and uplink.spool_limit_bytes and uplink.spool_bytes > 0.005 * uplink.spool_limit_bytes
    )
    spool = spool_words(uplink) if down or in_use else ""
    if down and len(down) == len(cameras):
        since = max((it.finding.since_ms or 0 for it in down), default=0)
        return Finding(Severity.DOWN, "uplink down", since or None, spool)
    if down or trouble:
        bad = [*down, *trouble]
        return _of_some(bad, len(bad) == len(cameras), Severity.TROUBLE, "in trouble", spool)
    if uplink.spool_left_s is not None and uplink.spool_bytes and uplink.spool_left_s < _SPOOL_FULL_SOON_S:
        return Finding(Severity.TROUBLE, "the spool is nearly full" + spool)
    notes = [it for it in cameras if it.finding.severity is Severity.NOTE]
    if notes:
        return _of_some(notes, len(notes) == len(cameras), Severity.NOTE, "likewise", "")
    return Finding(Severity.OK, "all well" if len(cameras) != 1 else "well")


def _of_some(which: Sequence[CameraView], is_all: bool, severity: Severity, likewise: str, spool: str) -> Finding:
    """What is wrong with the first of them, and how many there are; a thing all cameras share is not put on one."""
    first, rest = which[0].finding, len(which) - 1
    shared = {re.sub(r"\d+", "", it.finding.what) for it in which}
    if is_all and rest and len(shared) == 1:
        since = [it.finding.since_ms for it in which if it.finding.since_ms is not None]
        return Finding(severity, f"all cameras: {first.what}", min(since, default=None), first.more + spool)
    more = f"; {count(rest, 'more camera')} {likewise}" if rest else ""
    return Finding(severity, f"{which[0].name}: {first.what}", first.since_ms, first.more + more + spool)


def spool_words(uplink: UplinkView) -> str:
    """`, spool 38%, 11 h left`, or nothing where nobody has said."""
    if uplink.spool_bytes is None or not uplink.spool_limit_bytes:
        return ""
    share = min(uplink.spool_bytes / uplink.spool_limit_bytes, 1.0)
    left = f", {duration(uplink.spool_left_s)} left" if uplink.spool_left_s is not None else ""
    return f", spool {share:.0%}{left}"


def judge_worker(away_s: float, cameras: int, lag_s: float | None, fps: float) -> Finding:
    if away_s > WORKER_AWAY_S:
        return Finding(Severity.DOWN, f"not heard from for {duration(away_s)}")
    if not cameras:
        return Finding(Severity.OK, "ready, has no cameras")
    if lag_s is not None and lag_s > STUCK_S:
        return Finding(Severity.TROUBLE, f"{duration(lag_s)} behind on a camera")
    if lag_s is not None and lag_s > BEHIND_S:
        return Finding(Severity.NOTE, f"{duration(lag_s)} behind on a camera")
    return Finding(Severity.OK, f"keeps up, {fps:.1f} frames/s")


def judge_sink(away_s: float, lag_s: float, missed: int, error: str, since_ms: int) -> Finding:
    if away_s > SINK_AWAY_S:
        return Finding(Severity.DOWN, f"not running: not heard from for {duration(away_s)}")
    behind = f", {duration(lag_s)} behind" if lag_s > BEHIND_S else ""
    if error:
        return Finding(Severity.TROUBLE, "cannot deliver", since_ms or None, f"{behind}: {error}")
    if lag_s > SINK_BEHIND_S:
        return Finding(Severity.TROUBLE, f"{duration(lag_s)} behind")
    if missed:
        return Finding(Severity.NOTE, f"delivers{behind}; {count(missed, 'frame')} were past retention")
    return Finding(Severity.OK, f"delivers{behind}")
