"""`fishladder edge run`, `check` and `spool`: flags and a settings file in, an agent or a report out."""

import asyncio
import os
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import structs

from fishladder.edge.config import EdgeConfig, camera_flag, load
from fishladder.runtime.admin import Admin
from fishladder.runtime.lifecycle import run_until_signal
from fishladder.runtime.logs import configure_logging
from fishladder.wire.errors import ConfigError
from fishladder.wire.spooled import Spooled


@click.group()
def edge() -> None:
    """Send cameras to a gateway (runs on camera hosts)."""


def _settings(command: Any) -> Any:
    """The options `run` and `check` share."""
    options = [
        click.option("--config", type=click.Path(path_type=Path), help="TOML file with [edge] and [[camera]]."),
        click.option("--gateway", help="The gateway, such as https://stack.example:8889."),
        click.option("--site", help="This site's name, such as shop-7."),
        click.option("--token-file", help="File with the token from `fishladder token create`."),
        click.option("--ca-file", help="CA to trust for the gateway's certificate."),
        click.option("--proxy", help="HTTP proxy to CONNECT through; `none` ignores HTTPS_PROXY."),
        click.option(
            "--camera", "cameras", multiple=True, help="NAME=SOURCE: rtsp://, v4l2:, file:, test:. Repeatable."
        ),
        click.option("--loop", is_flag=True, help="Begin files given by --camera again when they end."),
        click.option("--mode", type=click.Choice(["auto", "encode", "passthrough"]), help="Encode, or pass on units."),
        click.option("--fps", type=float, help="At most so many pictures a second (encode)."),
        click.option("--bitrate-kbps", type=int, help="Most bits a second of one camera (encode)."),
        click.option("--width", type=int, help="Scale down to this width (encode)."),
        click.option("--profile", help="What the detector needs, by `loadtest accuracy`: its profile.json (encode)."),
        click.option("--gate/--no-gate", default=None, help="Send only what moves, and a picture a minute (encode)."),
        click.option(
            "--uplink", type=click.Choice(["stream", "whip"]), help="stream (default), or whip; all cameras alike."
        ),
        click.option("--spool-dir", help="Where frames wait while the uplink is down (else a sane place)."),
        click.option("--spool-bytes", type=int, help="Most it may hold (else half of the free disk)."),
        click.option("--no-spool", is_flag=True, help="Keep frames in memory only."),
        click.option("--max-up", help='Most the uplink may have, such as "4 Mbit/s" (see [limits] for more).'),
        click.option("--yield/--no-yield", "yields", default=None, help="Let others on the uplink notice nothing."),
        click.option("--log-level", help="debug, info, warning or error."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _load(
    config: Path | None, cameras: tuple[str, ...], loop: bool, flags: dict[str, Any], *, needs_gateway: bool = True
) -> EdgeConfig:
    spool = {"directory": flags.pop("spool_dir"), "bytes": flags.pop("spool_bytes")}
    if flags.pop("no_spool"):
        spool["enabled"] = False
    return load(
        config,
        flags,
        [camera_flag(text, loop=loop) for text in cameras],
        spool=spool,
        limits={"max_up": flags.pop("max_up"), "yield": flags.pop("yields")},
        needs_gateway=needs_gateway,
    )


@edge.command()
@_settings
@click.option("--once", is_flag=True, default=None, help="Do not open a camera again when it fails or ends.")
@click.option("--drain-s", type=float, help="Seconds to wait for commits when told to stop (10).")
@click.option("--metrics-port", type=int, help="Port for /metrics, /healthz, /readyz (9997); 0 = none.")
def run(config: Path | None, cameras: tuple[str, ...], loop: bool, **flags: Any) -> None:
    """Run the agent until its cameras end, or until SIGTERM.

    SIGHUP reads the settings again: cameras that are new, gone or changed are taken in, out or opened anew, and the
    others do not notice; other limits hold at once. Exit status 1 if frames were left uncommitted, or if a camera
    failed with --once.
    """
    from fishladder.edge.agent import Agent

    settings = _load(config, cameras, loop, dict(flags))
    configure_logging(settings.log_level)
    settings = settings.with_encoder()

    well = False
    agent: Agent | None = None

    def reload() -> None:
        if agent is not None:
            fresh = _load(config, cameras, loop, dict(flags))
            agent.reload(fresh if fresh.encoder != "auto" else structs.replace(fresh, encoder=settings.encoder))

    async def main(stopping: asyncio.Event) -> None:
        nonlocal well, agent
        agent = Agent(settings)
        if not settings.metrics_port:
            well = await agent.run(stopping)
            return
        with Admin(settings.metrics_host, settings.metrics_port, agent.health):
            well = await agent.run(stopping)

    run_until_signal(main, reload=reload)
    if not well:
        raise SystemExit(1)


@edge.command()
@_settings
@click.option(
    "--pictures", type=click.Path(file_okay=False, path_type=Path), help="Save a picture of each camera in this folder."
)
@click.option(
    "--state-directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Of the service to look at (for root the unit's, /var/lib/fishladder, if it is there).",
)
def check(
    config: Path | None,
    cameras: tuple[str, ...],
    loop: bool,
    pictures: Path | None,
    state_directory: Path | None,
    **flags: Any,
) -> None:
    """Try the cameras and, if it is given, the way to the gateway; exit 1 if something does not work.

    A line each: ok, warn (it works and could be better: keyframes far apart, a clock that is off), or FAIL and why.
    """
    from fishladder.edge.check import check as findings
    from fishladder.edge.check_state import service_state

    settings = _load(config, cameras, loop, flags, needs_gateway=False)
    configure_logging("critical" if settings.log_level == "info" else settings.log_level)

    if pictures is not None:
        try:
            pictures.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--pictures {pictures}: {error.strerror}") from None

    service = service_state(state_directory, os.environ, root=os.geteuid() == 0)

    async def report() -> bool:
        fine = True
        async for finding in findings(settings, pictures, service):
            fine &= finding.level != "FAIL"
            click.echo(f"{finding.level:4} {finding.what}: {finding.detail}")
        return fine

    if not asyncio.run(report()):
        raise SystemExit(1)


@edge.command()
@click.option("--config", type=click.Path(path_type=Path), help="The agent's settings; they say site and spool.")
@click.option("--site", default="", help="This site's name, such as shop-7.")
@click.option("--gateway", default="", help="The gateway whose cameras they are, where no --spool-dir is given.")
@click.option("--spool-dir", default="", help="Where frames wait (else the agent's place).")
@click.option("--json", "as_json", is_flag=True, help="For `fishladder ledger --audit --spool FILE`.")
def spool(config: Path | None, site: str, gateway: str, spool_dir: str, as_json: bool) -> None:
    """Show what waits on this host's disk, beside an agent that runs or not.

    With --json it says so in a form that an audit takes: what was deferred and is not here has no fate it could get.
    """
    from fishladder.edge.spool.settings import SpoolConfig, place
    from fishladder.edge.spool.waiting import waiting

    if config is not None:
        settings = load(config, {}, [], needs_gateway=False)
        site, gateway = site or settings.site, gateway or settings.gateway
        spool_dir = spool_dir or settings.spool.directory
    if not site:
        raise ConfigError("--site, or --config with the agent's settings, says whose cameras these are")
    directory = place(SpoolConfig(directory=spool_dir), site, gateway, os.environ)
    if directory is None or not directory.is_dir():
        raise ConfigError(f"no spool is at {directory}: --spool-dir, or --config with the agent's settings")
    found = waiting(directory, site)
    if as_json:
        told = {it.camera: [(one.epoch, one.first, one.last) for one in it.ranges if one.epoch] for it in found}
        click.echo(msgspec.json.encode(Spooled(told)))
        return
    for it in found:
        spans = ", ".join(str(one) for one in it.ranges[:3]) + (", ..." if len(it.ranges) > 3 else "")
        click.echo(f"{it.camera}: {it.units} frames, {it.bytes / 1e6:.1f} MB{f' ({spans})' if spans else ''}")
    if not found:
        click.echo(f"nothing was ever spooled in {directory}")
