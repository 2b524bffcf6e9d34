"""The flags that several sub-commands share: what a camera sends, over what, and where the report goes."""

import re
import shlex
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from fishladder.loadtest.model.congestion import LAWS, Law
from fishladder.loadtest.report.host import congestion_control
from fishladder.loadtest.scenario import TRANSPORTS
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.wire.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])

_CAMERA = (
    click.option("--size", default="1280x720", show_default=True, help="Picture size of each camera."),
    click.option("--fps", type=float, default=15.0, show_default=True, help="Pictures a second."),
    click.option("--bitrate", type=float, default=2.0, show_default=True, help="Mbit/s of each camera."),
    click.option("--gop", type=float, default=2.0, show_default=True, help="Seconds from keyframe to keyframe."),
    click.option("--ip-ratio", type=float, default=10.0, show_default=True, help="Keyframe size over that of others."),
    click.option("--sigma", type=float, default=0.2, show_default=True, help="Spread of log(frame size)."),
    click.option(
        "--keyframes",
        "phases",
        type=click.Choice(["staggered", "aligned"]),
        default="staggered",
        show_default=True,
        help="Cameras run freely, or all in step (the worst case).",
    ),
    click.option("--night", is_flag=True, help="In the dark: half again the rate, keyframes stand out less."),
    click.option("--paced", is_flag=True, help="Datagrams: spread each frame's packets over its interval."),
    click.option("--deadline", type=float, default=500.0, show_default=True, help="ms a frame may be old."),
    click.option(
        "--footage",
        type=click.Choice(["vtest", "bikes"]),
        help="Frame sizes of this clip, encoded to the size, rate and GOP above, instead of drawn ones.",
    ),
    click.option(
        "--uplink",
        "transport",
        type=click.Choice(TRANSPORTS),
        default="stream",
        show_default=True,
        help="The agent's own stream (TCP), WHIP, or datagrams never repaired.",
    ),
    click.option(
        "--congestion", type=click.Choice(LAWS), help="TCP's congestion control in the model.  [default: this system's]"
    ),
)


def camera_options(command: F) -> F:
    for option in reversed(_CAMERA):
        command = option(command)
    return command


def out_option(command: F) -> F:
    return click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        help="Directory of the report.  [default: loadtest-COMMAND-TIME]",
    )(command)


def gateway_options(command: F) -> F:
    for option in (
        click.option("--proxy", help="With --gateway: HTTP proxy to CONNECT through; `none` ignores HTTPS_PROXY."),
        click.option("--ca-file", help="With --gateway: CA to trust for its certificate."),
        click.option(
            "--token-file", type=click.Path(dir_okay=False, path_type=Path), help="With --gateway: its token."
        ),
        click.option(
            "--site", default="loadtest", show_default=True, help="With --gateway: the site the token is for."
        ),
        click.option(
            "--gateway", help="Your own stack: real agents here send to it over your own line, instead of a link."
        ),
    ):
        command = option(command)
    return command


def seed_option(command: F) -> F:
    return click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The first seed.")(command)


def camera_of(flags: dict[str, Any]) -> CameraSpec:
    """Takes its flags out of `flags`. Raises `ConfigError`."""
    size = flags.pop("size")
    found = re.fullmatch(r"(\d+)x(\d+)", size)
    if found is None:
        raise ConfigError(f"--size {size}: expected WIDTHxHEIGHT, such as 1280x720")
    spec = CameraSpec(
        width=int(found[1]),
        height=int(found[2]),
        fps=flags.pop("fps"),
        bitrate_bps=flags.pop("bitrate") * 1e6,
        gop_s=flags.pop("gop"),
        ip_ratio=flags.pop("ip_ratio"),
        sigma=flags.pop("sigma"),
        phases=flags.pop("phases"),
        paced=flags.pop("paced"),
        deadline_ms=flags.pop("deadline"),
    )
    return spec.at_night() if flags.pop("night") else spec


def law_of(chosen: str | None) -> Law:
    """The congestion control to model: the one asked for, else the system's own if we know it, else cubic."""
    return "bbr" if (chosen or congestion_control()) == "bbr" else "cubic"


def out_dir(out: Path | None, kind: str) -> Path:
    """Made if need be; ask for it before long work, so that nothing is lost. Raises `ConfigError`."""
    path = out or Path(f"loadtest-{kind}-{datetime.now().astimezone():%Y%m%d-%H%M%S}")
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ConfigError(f"--out {path}: {error.strerror}") from None
    return path


def writable(path: Path | None) -> None:
    """Insist, before long work, that its result can be written there. Raises `ConfigError`."""
    if path is None:
        return
    try:
        path.open("a").close()
    except OSError as error:
        raise ConfigError(f"--json {path}: {error.strerror}") from None


def command_line() -> str:
    return shlex.join(["fishladder", *sys.argv[1:]])
