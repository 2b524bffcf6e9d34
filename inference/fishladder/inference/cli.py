"""`fishladder worker`: decode, detect and commit results."""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import msgspec

from fishladder.inference.config import WorkerSettings
from fishladder.inference.load import load, model_path
from fishladder.inference.model import PROVIDERS
from fishladder.inference.worker import open_in_time, run_worker
from fishladder.runtime.config import load_config
from fishladder.runtime.lifecycle import run_processes, run_until_signal
from fishladder.runtime.logs import configure_logging
from fishladder.runtime.secret_files import SecretOption


@click.group()
def worker() -> None:
    """Decode, detect and commit results."""


@worker.command()
@click.option("--config", type=click.Path(path_type=Path), help="TOML file; its [worker] section is used.")
@click.option("--model", help="ONNX file, or the name of an asset  [default: ssdlite-person]")
@click.option("--provider", type=click.Choice(PROVIDERS), help="Where the model runs  [default: auto]")
@click.option("--threads", type=int, help="Threads of a process' model  [default: 1]")
@click.option("--batch", type=int, help="Pictures inferred together; gains nothing on a CPU  [default: 1]")
@click.option("--batch-wait-ms", type=float, help="How long a picture waits for others  [default: 5]")
@click.option("--names", type=click.Path(dir_okay=False), help="Text file of class names, one a line.")
@click.option("--score", type=float, help="Detections score more than this  [default: 0.4]")
@click.option("--iou", type=float, help="Of two that overlap more than this the better is kept  [default: 0.5]")
@click.option("--processes", type=int, help="Worker processes; 0 is one a core  [default: 0]")
@click.option(
    "--redis",
    cls=SecretOption,
    envvar="FISHLADDER_REDIS",
    help="State store URL  [default: that of a gateway on this host]",
)
@click.option(
    "--frames", cls=SecretOption, envvar="FISHLADDER_FRAMES", help="Frame store URL  [default: the state store]"
)
@click.option("--data-dir", type=click.Path(file_okay=False), help="Data directory of the gateway on this host.")
@click.option("--store-timeout", "store_timeout_s", type=float, help="Seconds to wait for the stores  [default: 30]")
@click.option("--keep-results", help="How long results are kept  [default: 7d]")
@click.option("--keep-bytes", help="How much of them a camera  [default: 16MB]")
@click.option("--weight", type=float, help="4 takes four times the cameras of one with 1  [default: 1]")
@click.option("--lease-ms", type=int, help="After so long others take over from a dead worker  [default: 2000]")
@click.option("--metrics-host", help="Address of /metrics  [default: 127.0.0.1]")
@click.option("--metrics-port", type=int, help="Port of /metrics, 0 for none; more processes use the next ones")
@click.option("--log-level", help="debug, info, warning or error  [default: info]")
def run(config: Path | None, redis: str | None, frames: str | None, **flags: Any) -> None:
    """Run workers until SIGTERM or Ctrl-C; what is in hand is committed first."""
    settings = load_config(WorkerSettings, "worker", file=config, flags=flags)
    settings.check()
    configure_logging(settings.log_level)
    settings = msgspec.structs.replace(settings, model=str(model_path(settings.model, _say)))
    detector = load(settings)
    if settings.process_count == 1:
        run_until_signal(
            lambda stopping: run_worker(settings, detector, redis=redis, frames=frames, stopping=stopping),
            fast_loop=True,
        )
    else:
        del detector  # it is good; each process loads its own
        run_until_signal(lambda stopping: _several(settings, redis, frames, stopping))


def _say(what: str, done: int, total: int | None) -> None:
    """Progress of a fetch: a line for each step."""
    if done == 0:
        click.echo(f"{what} ...", err=True)


async def _several(settings: WorkerSettings, redis: str | None, frames: str | None, stopping: asyncio.Event) -> None:
    """Keep N processes, once the stores are there: so that a mistake is told once."""
    async with AsyncExitStack() as stack:
        if await open_in_time(stack, settings, redis, frames, stopping) is None:
            return
    commands = []
    for index in range(settings.process_count):
        port = settings.metrics_port + index if settings.metrics_port else 0
        command = [sys.executable, "-m", "fishladder.runtime.tether", "--", sys.executable, "-m", "fishladder.runtime"]
        command += [*sys.argv[1:], "--processes", "1", "--metrics-port", str(port)]
        commands.append(command)
    await run_processes(commands, stopping)
