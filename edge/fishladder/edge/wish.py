"""What a camera would send if the uplink had room for it: from what it delivers, its settings and what it may. Pure."""

import math
from typing import NamedTuple

from fishladder.edge.capture import CaptureSettings
from fishladder.edge.capture_records import Flows, Opened
from fishladder.edge.encode import USUAL_FPS, scaled
from fishladder.edge.rate.ladder import fitting
from fishladder.edge.rate.orders import Wish
from fishladder.edge.rate.passing import GUESS_BPS, Flow, Passing, PassingRung, use_bps
from fishladder.edge.rate.profile import Profile


class May(NamedTuple):
    """Of all cameras' weights, its own; bits a second if it is encoded; pictures a second (None: all), and what it is
    capped at from above, if it is.
    """

    weight: float
    most_bps: float
    fps: float | None
    cap_bps: float | None


def wish_of(
    opened: Opened, settings: CaptureSettings, flows: Flows | None, profile: Profile | None, may: May
) -> Wish | None:
    """None if it passes on all that the camera makes. `flows`: its streams, as far as they were seen; `profile`: what
    its ladder goes by, None = its own rule.
    """
    fps = opened.fps or USUAL_FPS
    width, height = scaled(opened.width, opened.height, settings.encoder.width)
    fit = fitting if profile is None else profile.fitting
    encoded = Wish(may.weight, may.most_bps, min(may.fps or fps, fps), width, height, fit=fit)
    if opened.mode == "encode":
        return encoded
    if not settings.steps:
        return None
    main = flows.main if flows is not None and flows.main.bps else Flow(GUESS_BPS)
    sub = None if settings.sub is None else flows.sub if flows is not None else Flow()
    passing = Passing(main, sub, settings.steps, encoded.most_bps)
    most_bps = min(use_bps(PassingRung(), passing), may.cap_bps or math.inf)
    if "transcode" in settings.steps:
        return encoded._replace(most_bps=most_bps, passing=passing)
    return Wish(may.weight, most_bps, fps, 0, 0, passing)
