"""What single settings of a camera have to be. That they fit together is `config`'s to see."""

import math

from fishladder.edge.cameras.kinds import kind_of
from fishladder.edge.capture import CaptureSettings
from fishladder.edge.gate import GateSettings
from fishladder.edge.motion import Ignored
from fishladder.wire.errors import ConfigError, WireError
from fishladder.wire.ids import check_name


def check_gate(gate: GateSettings, what: str) -> None:
    for name in ("keepalive_s", "preroll_s", "hold_s"):
        at_least(getattr(gate, name), 0.0, f"{what}: gate_{name}")
    at_least(gate.sensitivity, 0.1, f"{what}: gate_sensitivity")


def check_steps(capture: CaptureSettings, what: str) -> None:
    """What a camera that is passed on does on a thin link."""
    if "transcode" in capture.steps[:-1]:
        raise ConfigError(f"{what}: step_down: nothing comes behind transcode, for which any link is enough")
    if len(set(capture.steps)) < len(capture.steps):
        raise ConfigError(f"{what}: step_down names a step twice: {', '.join(capture.steps)}")
    if capture.sub is None:
        return
    if kind_of(capture.sub.source) == "test":
        raise ConfigError(f"{what}: sub: a test: camera has no stream of its own to pass on")
    if capture.mode == "encode" or capture.gate is not None:
        raise ConfigError(f'{what}: sub is for a camera that is passed on: use mode = "auto" and no gate, or no sub')
    if "sub" not in capture.steps:
        raise ConfigError(f'{what}: step_down does not name "sub": add it, or leave sub out')


def ignored(text: str, what: str) -> Ignored:
    try:
        area = Ignored(*map(float, text.split()))
    except (TypeError, ValueError):
        area = Ignored(-1, 0, 0, 0)
    if not (0 <= area.x < 1 and 0 <= area.y < 1 and 0 < area.width <= 1 and 0 < area.height <= 1):
        raise ConfigError(f'{what}: {text!r}: expected "X Y WIDTH HEIGHT", shares of the picture from its top left')
    return area


def named(name: str, what: str) -> str:
    try:
        return check_name(name, what)
    except WireError as error:
        raise ConfigError(str(error)) from None


def at_least(value: float, least: float, what: str) -> None:
    if not least <= value < math.inf:  # nor is what is no number
        raise ConfigError(f"{what} is {value:g}: expected a number, at least {least:g}")
