"""`fishladder control`: what is wanted of a camera, said to its agent at once, and shown beside what the agent says
that it does.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from fishladder.operate.state_reader import state_url, store_options
from fishladder.runtime.logs import configure_logging
from fishladder.runtime.wanted import ask_keyframe, read_wanted, set_policy
from fishladder.view.models import CameraView
from fishladder.view.reader import StateReader, open_reader
from fishladder.view.snapshot import read_snapshot
from fishladder.view.words import duration, rate
from fishladder.wire.bitrate import parse_bitrate
from fishladder.wire.errors import ConfigError, WireError
from fishladder.wire.ids import check_camera
from fishladder.wire.messages import Policy

_NONE = "none"


class _Number(click.ParamType):  # type: ignore[type-arg]
    """A number, or `none`."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if value == _NONE:
            return _NONE
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not 0 < number < 1e6:
            self.fail(f"{value!r}: expected a number above 0, or none", param, ctx)
        return number


class _Rate(_Number):
    """Bits a second, or `none`."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if value == _NONE:
            return _NONE
        if (bps := parse_bitrate(str(value)) or 0.0) < 10_000:
            self.fail(f"{value!r}: expected at least 10k, such as 500k or 2M, or none", param, ctx)
        return bps


@click.command()
@click.argument("camera")
@click.option("--fps", type=_Number(), help="Pictures to analyse a second; none = every one.")
@click.option("--pause/--resume", "pause", default=None, help="Send nothing; go on.")
@click.option("--cap", "cap_bps", type=_Rate(), help="Most it may send, such as 500k or 2M; none = no limit.")
@click.option("--least-fps", type=_Number(), help="Busy workers may go down to this  [default: a fifth of fps].")
@click.option("--idle-fps", type=_Number(), help="Analysed while nothing is seen there; none = as ever.")
@click.option("--idle-after", "idle_after_s", type=click.FloatRange(min=1), help="Seconds without anything seen.")
@click.option("--weight", type=click.FloatRange(min=0, min_open=True), help="Its share of uplink and workers.")
@click.option("--keyframe", is_flag=True, help="Have a keyframe sent now.")
@store_options
def control(camera: str, keyframe: bool, redis: str | None, data_dir: Path | None, **wanted: Any) -> None:
    """Say what is wanted of CAMERA (SITE/CAMERA): its agent hears of it at once. Then, or without an option, show what
    is desired, what the stack asks within that, and what the agent reports.
    """
    configure_logging("error")
    try:
        check_camera(camera)
    except WireError as error:
        raise ConfigError(str(error)) from None
    changes: dict[str, Any] = {
        name: None if value == _NONE else value for name, value in wanted.items() if value is not None
    }
    if (cap_bps := changes.get("cap_bps")) is not None:
        changes["cap_bps"] = round(cap_bps)
    click.echo(asyncio.run(_run(state_url(redis, data_dir), camera, changes, keyframe)))


async def _run(url: str, camera: str, changes: dict[str, Any], keyframe: bool) -> str:
    async with open_reader(url) as reader:
        await reader.cameras(camera)
        partition = reader.partition(camera)
        if changes:
            [(before, _)] = await read_wanted(reader.state, [(partition, camera)])
            policy = msgspec.structs.replace(before or Policy(), **changes)
            await set_policy(reader.state, partition, camera, policy)
        if keyframe:
            await ask_keyframe(reader.state, partition, camera)
        return await _shown(reader, camera)


async def _shown(reader: StateReader, camera: str) -> str:
    [it] = (await read_snapshot(reader, names=[camera])).cameras
    told = [("desired", _desired(it)), ("asked", _asked(it)), ("reported", _does(it))]
    return "\n".join([f"{it.camera}:", *(f"  {what:9} {said}" for what, said in told)])


def _fps(fps: float | None) -> str:
    return f"{fps:.3g} fps" if fps else "every picture"


def _ago(at_ms: int) -> str:
    return f"{duration((time.time_ns() // 1_000_000 - at_ms) / 1000)} ago"


def _desired(it: CameraView) -> str:
    policy = it.policy
    said = ["pause" if policy.pause else _fps(policy.fps)]
    if policy.least_fps:
        said.append(f"at least {_fps(policy.least_fps)}")
    if policy.idle_fps:
        said.append(f"{_fps(policy.idle_fps)} after {duration(policy.idle_after_s)} of nothing")
    if policy.cap_bps:
        said.append(f"at most {rate(policy.cap_bps)}")
    said.append(f"weight {policy.weight:g}")
    return ", ".join(said) + (f" (set {_ago(it.policy_ms)})" if it.policy_ms else " (its gateway's default)")


def _asked(it: CameraView) -> str:
    if it.asked is None or it.asked.fps is None:
        return "the same"
    why = "nothing is seen there" if it.asked.why == "quiet" else "workers are behind"
    return f"{_fps(it.asked.fps)}, as {why} (since {_ago(it.asked.at_ms)})"


def _does(it: CameraView) -> str:
    if it.reported is None:
        return "nothing: its agent has not said, or is of an older release"
    does = it.reported.does
    said = ["paused" if does.paused else _fps(does.fps)]
    if does.cap_bps:
        said.append(f"at most {rate(does.cap_bps)}")
    if it.sending is not None and not does.paused:
        said.append(it.sending.what)
    return f"{', '.join(said)} ({does.mode or 'not delivering yet'}, {_ago(it.reported.at_ms)})"
