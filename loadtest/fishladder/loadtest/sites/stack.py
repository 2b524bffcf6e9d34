"""The core's side of a run: the real gateway with its stores, and a worker, by default one that commits without
inferring (`null_worker`).
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fishladder.gateway.tokens import KEYS_FILE, KeyFile, issue
from fishladder.loadtest.emulation.network import CORE_ADDRESS, Network
from fishladder.loadtest.sites.processes import Part, listens

SITE = "loadtest"
_PORT = 8889
_START_S = 60.0
_TOKEN_S = 24 * 3600


@dataclass(frozen=True)
class Stack:
    """`arrivals` is written by the null worker; None with a real one."""

    url: str
    token: str
    data_dir: Path
    arrivals: Path | None
    parts: tuple[Part, ...]


@contextmanager
def run_stack(folder: Path, network: Network | None, *, model: str | None = None) -> Iterator[Stack]:
    """Gateway and worker in the core of `network`, or on loopback. `model`: a real worker with this model (a file or an
    asset's name). Raises `CannotEmulate`.
    """
    core = network.core if network else None
    host, port = (CORE_ADDRESS, _PORT) if network else ("127.0.0.1", _free_port())
    data_dir, arrivals = folder / "data", folder / "arrivals.bin"
    runtime = "fishladder.runtime"
    gateway_flags = ["--host", host, "--port", str(port), "--data-dir", str(data_dir), "--metrics-port", "0"]
    worker_flags = ["--data-dir", str(data_dir), "--processes", "1", "--metrics-port", "0"]
    gateway_command = [runtime, "gateway", "run", *gateway_flags, "--insecure"]
    if model is None:
        worker_command = ["fishladder.loadtest.sites.null_worker", str(data_dir), str(arrivals)]
    else:
        worker_command = [runtime, "worker", "run", "--model", model, *worker_flags]
    with Part("gateway", core, gateway_command, folder / "gateway.log") as gateway:
        gateway.wait_for(lambda: listens(core, port), _START_S, "listen")
        with Part("worker", core, worker_command, folder / "worker.log") as worker:
            worker.wait_for(lambda: worker.said(b"worker ready"), _START_S, "get ready")
            token = issue(
                KeyFile(data_dir / KEYS_FILE),
                subject=SITE,
                site=SITE,
                cameras=["*"],
                scope=["publish"],
                lifetime_s=_TOKEN_S,
                now=time.time(),
            )
            found = None if model else arrivals
            yield Stack(f"http://{host}:{port}", token, data_dir, found, (gateway, worker))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
