"""`fishladder gateway`: takes in units from agents and WHIP clients."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import click

from fishladder.gateway.config import GatewaySettings
from fishladder.gateway.listen import bind
from fishladder.gateway.server import Server
from fishladder.gateway.stack_files import init
from fishladder.runtime.config import load_config
from fishladder.runtime.embedded import embedded_stores, store_urls
from fishladder.runtime.lifecycle import run_processes, run_until_signal
from fishladder.runtime.logs import configure_logging
from fishladder.runtime.secret_files import SecretOption
from fishladder.runtime.store import StoreUrls
from fishladder.wire.errors import ConfigError

_FILE = click.Path(dir_okay=False)


@click.group()
def gateway() -> None:
    """Take in units from agents and WHIP clients."""


gateway.add_command(init)


@gateway.command()
@click.option("--config", type=click.Path(path_type=Path), help="TOML file; its [gateway] section is used.")
@click.option("--host", help="Address to listen on  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on  [default: 8889]")
@click.option("--tls-cert", type=_FILE, help="Certificate chain (PEM).")
@click.option("--tls-key", type=_FILE, help="Its private key (PEM).")
@click.option("--insecure", is_flag=True, default=None, help="Listen beyond this machine without TLS.")
@click.option("--auth", type=click.Choice(["on", "off"]), help="off: no tokens, on this machine only  [default: on]")
@click.option("--keys", type=_FILE, help="File with the keys that sign tokens  [default: in the data directory]")
@click.option("--register", type=_FILE, help="File with the tokens made and revoked  [default: beside the keys]")
@click.option("--data-dir", type=click.Path(file_okay=False), help="Where the gateway keeps its files.")
@click.option(
    "--redis",
    "state",
    cls=SecretOption,
    envvar="FISHLADDER_REDIS",
    help="State store URL  [default: a store of our own]",
)
@click.option(
    "--frames", cls=SecretOption, envvar="FISHLADDER_FRAMES", help="Frame store URL  [default: the state store]"
)
@click.option("--store-timeout", "store_timeout_s", type=float, help="Seconds to wait for the stores  [default: 30]")
@click.option("--processes", type=int, help="Processes that share the port  [default: 1]")
@click.option("--fps", type=float, help="Pictures a second to analyse of a camera, unless it has its own policy.")
@click.option("--analyse", type=click.Choice(["all", "keyframes"]), help="Which pictures are analysed  [default: all]")
@click.option("--metrics-host", help="Address of /metrics  [default: 127.0.0.1]")
@click.option("--metrics-port", type=int, help="Port of /metrics, 0 for none  [default: 9998]")
@click.option("--log-level", help="debug, info, warning or error  [default: info]")
@click.option("--share-port", is_flag=True, hidden=True)
def run(config: Path | None, state: str | None, frames: str | None, share_port: bool, **flags: Any) -> None:
    """Run the gateway until SIGTERM or Ctrl-C, then drain."""
    settings = load_config(GatewaySettings, "gateway", file=config, flags=flags)
    settings.check()
    configure_logging(settings.log_level)
    urls = store_urls(state, frames) if state or frames else None
    if settings.processes > 1:
        run_until_signal(lambda stopping: _several(settings, urls, stopping))
        return
    server = Server(settings, urls, shared=share_port)
    run_until_signal(server.run, fast_loop=True)


async def _several(settings: GatewaySettings, urls: StoreUrls | None, stopping: asyncio.Event) -> None:
    """Keep N processes on one port, with stores in common."""
    if not settings.port:
        raise ConfigError("--processes needs a fixed --port")
    bind(settings).close()  # it is free: what shares a port would not notice somebody else on it
    if urls is None:
        async with embedded_stores(settings.data_path, frames_bytes=settings.frames_bytes) as own:
            await _children(settings, own, stopping)
    else:
        await _children(settings, urls, stopping)


async def _children(settings: GatewaySettings, urls: StoreUrls, stopping: asyncio.Event) -> None:
    # By the environment, since anyone on the machine may read a command line.
    os.environ["FISHLADDER_REDIS"], os.environ["FISHLADDER_FRAMES"] = urls.state, urls.frames
    commands = []
    for index in range(settings.processes):
        metrics_port = settings.metrics_port + index if settings.metrics_port else 0
        command = [sys.executable, "-m", "fishladder.runtime.tether", "--", sys.executable, "-m", "fishladder.runtime"]
        command += [*sys.argv[1:], "--processes", "1", "--share-port", "--metrics-port", str(metrics_port)]
        commands.append(command)
    await run_processes(commands, stopping)
