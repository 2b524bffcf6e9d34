"""`fishladder demo`: cameras, gateway, stores and a worker on this machine, with real footage and a live table. Each
part is the same process an operator would start; this only starts them, watches, and adds up at the end.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import click
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.live import Live

from fishladder.operate.demo_view import account, live_table, plain_line
from fishladder.runtime.embedded import default_urls
from fishladder.runtime.ledger import Ledger, read_ledger
from fishladder.runtime.lifecycle import end_process, run_until_signal
from fishladder.runtime.store import Stores, open_stores
from fishladder.view.recent import Recent
from fishladder.wire import keys, result
from fishladder.wire.errors import AssetError, FishladderError
from fishladder.wire.ids import partition_of

SITE = "demo"
MODEL = "ssdlite-person"
#: Camera, the footage it plays.
CAMERAS = (("square", "vtest"), ("street", "bikes"))


class DemoFailed(FishladderError):
    """A part ended, nothing was detected, or the ledger does not close."""


@click.command(short_help="Run all of it on this machine.")
@click.option("--seconds", type=click.IntRange(min=0), default=0, help="Stop after so long; 0 runs until Ctrl-C.")
@click.option(
    "--fps", type=click.FloatRange(min=0.1, max=30), default=5.0, show_default=True, help="Analysed, a camera."
)
@click.option("--workers", type=click.IntRange(min=1, max=64), default=1, show_default=True, help="Worker processes.")
@click.option("--keep", is_flag=True, help="Keep the stores and logs afterwards, and say where they are.")
def demo(seconds: int, fps: float, workers: int, keep: bool) -> None:
    """Run cameras, gateway, stores and worker on this machine, with real footage and a live table.

    The first run fetches a person detector and two clips into your cache; later runs need no network. At the end it
    adds up what became of every captured frame, and exits 0 if that closes and something was detected.
    """
    footage = _pull([MODEL, *(clip for _, clip in CAMERAS)])
    place = Path(tempfile.mkdtemp(prefix="fishladder-demo-"))
    try:
        run_until_signal(lambda stopping: _Demo(place, footage, fps, workers, seconds).run(stopping))
    finally:
        if keep:
            click.echo(f"kept: {place}")
        else:
            shutil.rmtree(place, ignore_errors=True)


def _pull(names: Sequence[str]) -> dict[str, str]:
    """Fetch assets with their own command, which shows its progress; return their paths by name."""
    done = subprocess.run([*_FISHLADDER, "assets", "pull", *names])  # noqa: S603 - our own command
    if done.returncode:
        raise AssetError("the demo needs the footage and model above; `fishladder assets pull` tries again")
    listed = subprocess.run([*_FISHLADDER, "assets", "list", "--json"], check=True, capture_output=True)  # noqa: S603
    return {asset["name"]: asset["path"] for asset in json.loads(listed.stdout)}


_FISHLADDER = (sys.executable, "-m", "fishladder.runtime")
#: What it starts ends with the demo, however that ends.
_TETHERED = (sys.executable, "-m", "fishladder.runtime.tether", "--")


@dataclass(slots=True)
class _Part:
    """One process of the demo and the file its log goes to."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-5:]) or "(it said nothing)"


@dataclass(slots=True)
class _Demo:
    place: Path
    footage: dict[str, str]
    fps: float
    workers: int
    seconds: int
    port: int = 0
    metrics_port: int = 0
    views: dict[str, Recent] = field(default_factory=dict)
    read_to: dict[str, str] = field(default_factory=dict)
    bytes_before: dict[str, tuple[float, float]] = field(default_factory=dict)
    kbps: dict[str, float] = field(default_factory=dict)

    async def run(self, stopping: asyncio.Event) -> None:
        console = Console()
        cameras = [f"{SITE}/{name}" for name, _ in CAMERAS]
        self.views = {camera: Recent() for camera in cameras}
        self.read_to = dict.fromkeys(cameras, "0-0")
        self.port, self.metrics_port = _free_port(), _free_port()
        async with AsyncExitStack() as stack:
            gateway = await self._start(stack, "gateway", self._gateway_command())
            await self._listening(gateway)
            stores = await stack.enter_async_context(open_stores(default_urls(self.place)))
            token = await self._token()
            worker = await self._start(stack, "worker", self._worker_command())
            edge = await self._start(stack, "edge", self._edge_command(), {"FISHLADDER_EDGE_TOKEN": token})
            await self._watch(console, stores, [gateway, worker, edge], stopping)
            await end_process(edge.process, 15)
            ledgers = await self._settle(stores)
        self._summary(console, ledgers)

    def _gateway_command(self) -> list[str]:
        return [
            *("gateway", "run", "--host", "127.0.0.1", "--port", str(self.port), "--fps", str(self.fps)),
            *("--data-dir", str(self.place), "--metrics-port", str(self.metrics_port)),
        ]

    def _worker_command(self) -> list[str]:
        return [
            *("worker", "run", "--model", MODEL, "--processes", str(self.workers), "--metrics-port", "0"),
            *("--data-dir", str(self.place)),
        ]

    def _edge_command(self) -> list[str]:
        command = ["edge", "run", "--gateway", f"http://127.0.0.1:{self.port}", "--site", SITE, "--loop"]
        command += ["--spool-dir", str(self.place / "spool")]
        command += ["--metrics-port", "0"]
        for name, clip in CAMERAS:
            command += ["--camera", f"{name}=file:{self.footage[clip]}"]
        return command

    async def _token(self) -> str:
        process = await asyncio.create_subprocess_exec(
            *_FISHLADDER, "token", "create", "--site", SITE, "--expires", "1d", "--data-dir", str(self.place),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        if process.returncode:
            raise DemoFailed("no token could be made; the message is above")
        return out.decode().strip()

    async def _start(
        self, stack: AsyncExitStack, name: str, command: Sequence[str], env: dict[str, str] | None = None
    ) -> _Part:
        path = self.place / f"{name}.log"
        with path.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *_TETHERED,
                *_FISHLADDER,
                *command,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                start_new_session=True,  # Ctrl-C goes to all of a terminal's processes: these end in their order
            )
        part = _Part(name, process, path)
        stack.push_async_callback(end_process, process, 15)
        return part

    async def _listening(self, gateway: _Part) -> None:
        """Wait until the gateway takes connections."""
        for _ in range(300):
            if gateway.process.returncode is not None:
                raise DemoFailed(f"the gateway ended at once:\n{gateway.last_words()}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return
        raise DemoFailed(f"the gateway does not listen after 30 s:\n{gateway.last_words()}")

    async def _watch(self, console: Console, stores: Stores, parts: list[_Part], stopping: asyncio.Event) -> None:
        began = time.monotonic()
        live = Live(console=console, auto_refresh=False, transient=False) if console.is_terminal else None
        told = began
        with live or nullcontext():
            while not stopping.is_set() and (not self.seconds or time.monotonic() - began < self.seconds):
                for part in parts:
                    if part.process.returncode is not None:
                        raise DemoFailed(f"the {part.name} ended by itself:\n{part.last_words()}")
                ledgers = await self._read(stores)
                now = time.monotonic()
                if live:
                    left = f"{self.seconds - (now - began):.0f} s left" if self.seconds else "Ctrl-C ends it"
                    live.update(live_table(self.views, ledgers, self.kbps, left, console.width), refresh=True)
                elif now - told >= 2:
                    told = now
                    for ledger in ledgers:
                        console.print(
                            plain_line(self.views[ledger.camera], ledger, now - began), highlight=False, soft_wrap=True
                        )
                try:
                    async with asyncio.timeout(0.5):
                        await stopping.wait()
                except TimeoutError:
                    continue

    async def _read(self, stores: Stores) -> list[Ledger]:
        """Take in new results and the gateway's byte counts; return the ledgers."""
        ledgers = []
        for camera, view in self.views.items():
            partition = partition_of(camera, stores.partitions)
            stream = keys.results(partition, camera)
            entries: Any = await stores.state.xrange(stream, f"({self.read_to[camera]}", "+", count=500)
            for entry_id, fields in entries:
                self.read_to[camera] = entry_id.decode()
                view.add(int(entry_id.partition(b"-")[0]), result.decode(fields[b"r"]))
            ledgers.append(await read_ledger(stores.state, partition, camera, now_us=time.time_ns() // 1000))
        await self._measure_bytes()
        return ledgers

    async def _measure_bytes(self) -> None:
        try:
            text = await asyncio.to_thread(_scrape, self.metrics_port)
        except OSError:
            return
        now = time.monotonic()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name != "fishladder_gateway_unit_bytes_total":
                    continue
                camera = f"{sample.labels['site']}/{sample.labels['camera']}"
                then, before = self.bytes_before.get(camera, (now, sample.value))
                if now - then >= 2:
                    self.kbps[camera] = (sample.value - before) * 8 / 1000 / (now - then)
                if now == then or now - then >= 2:
                    self.bytes_before[camera] = (now, sample.value)

    async def _settle(self, stores: Stores) -> list[Ledger]:
        """Wait until nothing is pending, or nothing moves any more."""
        ledgers = await self._read(stores)
        for _ in range(150):
            if not any(ledger.pending for ledger in ledgers):
                break
            await asyncio.sleep(0.1)
            ledgers = await self._read(stores)
        return ledgers

    def _summary(self, console: Console, ledgers: list[Ledger]) -> None:
        console.print()
        for ledger in ledgers:
            view = self.views[ledger.camera]
            console.print(f"{ledger.camera}: {view.detections} detections in {view.frames} frames", highlight=False)
            console.print(f"  {account(ledger)}", highlight=False, soft_wrap=True)
        open_ledgers = [ledger.camera for ledger in ledgers if not ledger.closes or ledger.pending]
        if open_ledgers:
            raise DemoFailed(f"the ledger does not close: {', '.join(open_ledgers)}")
        if not any(view.detections for view in self.views.values()):
            raise DemoFailed("nothing was detected: run it for longer, or see `fishladder doctor`")
        console.print("every captured frame is accounted for")


def _scrape(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as reply:
        text: str = reply.read().decode()
        return text


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
