"""What of its own stream a camera that is not encoded sends at a given rate: all of the main stream, the sub-stream,
the first pictures of each group, keyframes alone; or, where the operator lets it, the same pictures encoded anew. Pure.
Steps down are taken at once, steps up on evidence, and more and more rarely where they did not last.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Literal, NamedTuple

Keep = Literal["all", "tail", "keyframes", "transcode"]
Step = Literal["sub", "tail", "keyframes", "transcode"]
#: By default; to encode anew costs the camera host's CPU, which is the operator's to give.
STEPS: tuple[Step, ...] = ("sub", "tail", "keyframes")
#: With `transcode`: a group cut short is seconds without a picture where keyframes are far apart.
ENCODED_STEPS: tuple[Step, ...] = ("sub", "transcode")

#: A camera's rate swings about its mean.
SWING = 1.1
#: With less of the stream than this, what is left of each group is hardly more than its keyframe.
LEAST_TAIL = 0.4
#: Up only with so much to spare, and so long after the last change; down at once, but not again before.
SPARE, UP_S, DOWN_S = 1.25, 6.0, 1.5
#: What a sub-stream leaves of a link says nothing of the rest of it: where nothing else does, more is tried after so
#: long. A step up that did not last so long was wrong, and the next one waits twice as long, up to the most.
TRIAL_S, LASTED_S, WAIT_MOST_S = 60.0, 20.0, 900.0
#: Steps up in a minute, at most.
UPS_A_MINUTE = 3


#: What a main stream is taken for until it is measured.
GUESS_BPS = 4e6


class Flow(NamedTuple):
    """What a stream is measured to be: bits a second, those of its keyframes alone. 0 = not known."""

    bps: float = 0.0
    keyframe_bps: float = 0.0


class Passing(NamedTuple):
    """A camera's streams. `sub` None: it has none; `steps` in the order in which they are taken; `encoded_bps`: what
    its encoder may make, where it is encoded anew.
    """

    main: Flow
    sub: Flow | None = None
    steps: tuple[Step, ...] = STEPS
    encoded_bps: float = 0.0


class PassingRung(NamedTuple):
    sub: bool = False
    keep: Keep = "all"

    @property
    def encoded(self) -> bool:
        return self.keep == "transcode"

    @property
    def whole(self) -> "PassingRung":
        """The same stream with nothing left out."""
        return self if self.encoded else self._replace(keep="all")


def rungs_of(passing: Passing) -> list[PassingRung]:
    """From everything downwards."""
    rungs = [PassingRung()]
    for step in passing.steps:
        if step == "sub":
            if passing.sub is not None and not rungs[-1].sub:
                rungs.append(PassingRung(True, "all" if rungs[-1].keep == "tail" else rungs[-1].keep))
        else:
            rungs.append(PassingRung(rungs[-1].sub, step))
    return rungs


def need_bps(rung: PassingRung, passing: Passing) -> float:
    """From which rate on a rung makes sense. A sub-stream that nobody has seen yet is hoped to fit."""
    if rung.encoded:
        return 0.0
    flow = passing.sub if rung.sub and passing.sub is not None else passing.main
    if rung.keep == "all":
        return flow.bps * SWING
    if rung.keep == "tail":
        return max(flow.bps * LEAST_TAIL, flow.keyframe_bps * SWING)
    return flow.keyframe_bps * SWING


def use_bps(rung: PassingRung, passing: Passing) -> float:
    """What a rung can make use of. Until a sub-stream is there the main one is sent, as far as that fits."""
    if rung.encoded:
        return passing.encoded_bps
    flow = passing.sub if rung.sub and passing.sub is not None and passing.sub.bps else passing.main
    return (flow.keyframe_bps if rung.keep == "keyframes" else flow.bps) * SWING


class PassingLadder:
    """One camera's."""

    def __init__(self) -> None:
        self.rung = PassingRung()
        self._changed_s: float | None = None
        self._rose_s: float | None = None
        self._wait_s = UP_S
        self._ups: deque[float] = deque(maxlen=UPS_A_MINUTE)

    def step(
        self,
        rate_bps: float,
        proven_bps: float,
        passing: Passing,
        now_s: float,
        *,
        full: bool,
        thin: bool | None = None,
    ) -> PassingRung:
        """What to send from now on. `rate_bps` is its share; `proven_bps` what it could have as far as large units
        show; `full`: the link is, or was just now; `thin`: for long enough that less has to be sent (None: as `full`).
        """
        rungs = rungs_of(passing)
        at = self._at(rungs)
        best = _first(rungs, max(rate_bps, proven_bps), passing)
        since_s = math.inf if self._changed_s is None else now_s - self._changed_s
        if best > at and full:
            if since_s >= DOWN_S and (thin or thin is None):
                self._down(rungs[best], now_s)
        elif at > 0 and since_s >= self._wait(now_s) and not self._rises_often(now_s):
            target = _first(rungs, (rate_bps if full else max(rate_bps, proven_bps)) / SPARE, passing)
            tries = (
                not self.rung.encoded or rate_bps >= passing.encoded_bps
            )  # an encoder that wants more fills the link
            if target >= at and tries and not full and since_s >= max(self._wait_s, TRIAL_S):
                target = at - 1
            if target < at:
                self._rise(rungs[target], now_s)
        return self.rung

    def keep_all(self) -> None:
        """Leave nothing out of the stream that is sent. What is encoded anew stays so: nothing is left out of that."""
        self.rung = self.rung.whole

    def _wait(self, now_s: float) -> float:
        """How long to stay after a change before anything more is tried."""
        if self._rose_s is not None and now_s - self._rose_s > WAIT_MOST_S:
            self._wait_s = UP_S  # the last step up was right
        return self._wait_s

    def _rises_often(self, now_s: float) -> bool:
        return len(self._ups) == UPS_A_MINUTE and now_s - self._ups[0] < 60.0

    def _rise(self, rung: PassingRung, now_s: float) -> None:
        self.rung, self._changed_s, self._rose_s = rung, now_s, now_s
        self._ups.append(now_s)

    def _down(self, rung: PassingRung, now_s: float) -> None:
        if self._rose_s is not None and now_s - self._rose_s < LASTED_S:
            self._wait_s = min(self._wait_s * 2, WAIT_MOST_S)
            self._rose_s = None  # one wrong step up counts once
        self.rung, self._changed_s = rung, now_s

    def _at(self, rungs: list[PassingRung]) -> int:
        """Where we stand; other settings may have taken our rung away."""
        if self.rung not in rungs:
            self.rung = next((rung for rung in rungs if rung.sub == self.rung.sub), rungs[0])
        return rungs.index(self.rung)


def _first(rungs: Sequence[PassingRung], rate_bps: float, passing: Passing) -> int:
    """The highest rung that fits, else the last."""
    fitting = (index for index, rung in enumerate(rungs) if need_bps(rung, passing) <= rate_bps)
    return next(fitting, len(rungs) - 1)
