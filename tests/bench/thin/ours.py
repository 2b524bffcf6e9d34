"""A run of our agents against our gateway: they are started, and what the gateway logs of each camera is read as it
comes. A worker that commits without looking stands for inference.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fishladder.edge.config import EdgeConfig
from fishladder.gateway.tokens import KEYS_FILE, KeyFile, issue
from fishladder.loadtest.emulation.namespaces import Namespace
from fishladder.loadtest.emulation.network import CORE_ADDRESS, SITE_ADDRESS
from fishladder.loadtest.errors import CannotEmulate
from fishladder.loadtest.sites.processes import Part, Times, listens
from fishladder.runtime.embedded import default_urls
from fishladder.runtime.store import Stores, open_stores
from fishladder.runtime.wanted import set_policy
from fishladder.wire import keys
from fishladder.wire.entry import LoggedUnit, read_entry
from fishladder.wire.fates import Fate
from fishladder.wire.ids import partition_of
from fishladder.wire.messages import Policy
from fishladder.wire.unit import Flag, Range
from thin.cases import Case
from thin.frames import Camera, Frame
from thin.lines import Line

SITE = "bench"
_BACK = "back"
_BACK_NAME = f"{SITE}/{_BACK}"
_PORT = 8889
_START_S = 60.0
#: A picture that is left out before it is encoded leaves none behind that refers to it.
_HARMLESS = (Fate.SHED, Fate.SAMPLED_OUT, Fate.GATED, Fate.ENCODER)
#: What wraps a unit on the wire.
_HEADER_BYTES = 56


class NotRunnable(Exception):
    """This build has not what the case is about."""


@contextmanager
def stack(folder: Path, where: Namespace, address: str) -> Iterator[Path]:
    """Gateway and worker; the directory of their stores."""
    folder.mkdir()
    data = folder / "data"
    flags = ["--host", address, "--port", str(_PORT), "--data-dir", str(data), "--metrics-port", "0", "--insecure"]
    with Part("gateway", where, ["fishladder.runtime", "gateway", "run", *flags], folder / "gateway.log") as gateway:
        gateway.wait_for(lambda: listens(where, _PORT), _START_S, "listen")
        worker = ["fishladder.loadtest.sites.null_worker", str(data), str(folder / "arrivals.bin")]
        with Part("worker", where, worker, folder / "worker.log") as it:
            it.wait_for(lambda: it.said(b"worker ready"), _START_S, "get ready")
            yield data


def agent(folder: Path, where: Namespace, gateway: str, data: Path, cameras: Sequence[str], case: Case) -> Part:
    """`cameras` are sources by name, as lines of the settings."""
    folder.mkdir()
    token = issue(
        KeyFile(data / KEYS_FILE),
        subject=SITE,
        site=SITE,
        cameras=["*"],
        scope=["publish"],
        lifetime_s=24 * 3600,
        now=time.time(),
    )
    (folder / "token").write_text(token)
    lines = ["[edge]", f'gateway = "http://{gateway}:{_PORT}"', f'site = "{SITE}"', "metrics_port = 0"]
    lines += [f'token_file = "{folder / "token"}"', "[spool]", f'directory = "{folder / "spool"}"']
    if case.yields:
        if "limits" not in EdgeConfig.__struct_fields__:
            raise NotRunnable("this agent has no `yield`")
        lines += ["[limits]", "yield = true"]
    (folder / "edge.toml").write_text("\n".join([*lines, *cameras]) + "\n")
    command = ["fishladder.runtime", "edge", "run", "--config", str(folder / "edge.toml")]
    return Part("agent", where, command, folder / "agent.log")


def camera(name: str, source: Path, case: Case) -> list[str]:
    return [
        "[[camera]]",
        f'name = "{name}"',
        f'source = "file:{source}"',
        'loop = true\nmode = "encode"',
        f"bitrate_kbps = {case.kbps}",
    ]


@dataclass
class _Log:
    """One camera's, as it is read."""

    camera: Camera = field(default_factory=Camera)
    broken: bool = False
    seq: int = 0
    unseen: int = 0


class Reader:
    """Follows the logs of cameras in a store."""

    def __init__(self, stores: Stores, names: Sequence[str], fps: int, *, payloads: bool) -> None:
        self.logs = {name: _Log() for name in names}
        self._stores, self._fps, self._payloads = stores, fps, payloads
        self._streams: dict[bytes, tuple[str, bool]] = {}
        for name in names:
            partition = partition_of(name, stores.partitions)
            self._streams[keys.log(partition, name).encode()] = (name, False)
            self._streams[keys.backfill(partition, name).encode()] = (name, True)

    async def run(self) -> None:
        at: dict[bytes, bytes] = dict.fromkeys(self._streams, b"0-0")
        while True:
            for stream, entries in await self._stores.frames.xread(at, block=500):  # type: ignore[arg-type]
                name, late = self._streams[stream]
                for entry_id, fields in entries:
                    at[stream] = entry_id
                    (self._late if late else self._live)(self.logs[name], entry_id, fields)

    def _late(self, log: _Log, entry_id: bytes, fields: dict[bytes, bytes]) -> None:
        size = sum(map(len, fields.values()))
        log.camera.late.append((int(entry_id.partition(b"-")[0]) / 1000, size))

    def _live(self, log: _Log, entry_id: bytes, fields: dict[bytes, bytes]) -> None:
        entry = read_entry(entry_id, fields)
        if isinstance(entry, Range):
            count = entry.last - entry.first + 1
            log.unseen += max(entry.first - log.seq - 1, 0)
            log.seq = entry.last
            log.broken |= entry.fate not in _HARMLESS
            log.camera.declared[entry.fate.label] = log.camera.declared.get(entry.fate.label, 0) + count
        elif isinstance(entry, LoggedUnit):
            head, stamp = entry.header, entry.stamp
            log.unseen += max(head.seq - log.seq - 1, 0)
            log.seq = head.seq
            key = bool(head.flags & Flag.CLEAN)
            log.broken &= not key
            index = round(head.pts_us * self._fps / 1e6)
            size = len(entry.data) + _HEADER_BYTES
            payload = bytes(entry.data) if self._payloads else b""
            times = (stamp.captured_us / 1e6, stamp.received_us / 1e6)
            log.camera.frames.append(Frame(index, *times, size, key, not log.broken, payload))

    def flow(self, names: Sequence[str]) -> bool:
        return all(self.logs[name].camera.frames for name in names)


@dataclass(frozen=True)
class Ran:
    cameras: list[Camera]
    began_s: float
    unseen: int
    cpu_s: float  #: of the agents
    waited_s: float  #: of theirs, for a core
    back: Camera | None = None  #: of the agent that sends the other way


async def run(case: Case, line: Line, folder: Path, sources: Sequence[Path], seconds: float) -> Ran:
    """Start everything, wait until what starts at once flows, then measure for so long."""
    names = [f"{SITE}/c{index}" for index in range(len(case.cameras))]
    with ExitStack() as running:
        data = running.enter_context(stack(folder / "core", line.network.core, CORE_ADDRESS))
        far = running.enter_context(stack(folder / "far", line.network.site, SITE_ADDRESS)) if case.reverse else None
        async with open_stores(default_urls(data)) as stores, _back(far, case) as back:
            for name, weight in zip(names, case.cameras, strict=True):
                await set_policy(stores.state, partition_of(name, stores.partitions), name, Policy(weight=weight))
            reader = Reader(stores, names, case.fps, payloads=case.detect)
            reading = asyncio.create_task(reader.run())
            parts: list[Part] = []

            def begin(indexes: Sequence[int]) -> None:
                lines = [one for index in indexes for one in camera(f"c{index}", sources[index], case)]
                part = agent(folder / f"agent-{indexes[0]}", line.site(indexes[0]), CORE_ADDRESS, data, lines, case)
                parts.append(running.enter_context(part))

            groups = [[index] for index in range(len(names))] if case.agents else [list(range(len(names)))]
            starts = [case.starts[group[0]] if case.starts else 0.0 for group in groups]
            for group, start in zip(groups, starts, strict=True):
                if start == 0.0:
                    begin(group)
            if far is not None:
                lines = camera(_BACK, sources[0], case)
                part = agent(folder / "agent-back", line.network.core, SITE_ADDRESS, far, lines, case)
                parts.append(running.enter_context(part))
            at_once = [names[i] for group, start in zip(groups, starts, strict=True) if start == 0.0 for i in group]
            await _until(lambda: reader.flow(at_once) and (back is None or back.flow([_BACK_NAME])), parts, reading)
            line.network.begin()
            began_s, before = time.time(), times(parts)
            events: list[tuple[float, object]] = [
                (start, group) for group, start in zip(groups, starts, strict=True) if start > 0
            ]
            if case.pause is not None:
                which, begin_s, end_s = case.pause
                events += [(begin_s, (names[which], Policy(fps=0.01))), (end_s, (names[which], Policy()))]
            for at_s, what in sorted(events, key=lambda event: event[0]):
                await asyncio.sleep(max(began_s + at_s - time.time(), 0.0))
                if isinstance(what, list):
                    begin(what)
                else:
                    assert isinstance(what, tuple)
                    await set_policy(stores.state, partition_of(what[0], stores.partitions), *what)
            await asyncio.sleep(max(began_s + seconds - time.time(), 0.0))
            used = times(parts).since(before, 1.0)
            for part in parts:
                if part.process.poll() is not None:
                    raise part.failure()
            if reading.done():
                reading.result()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    cameras = [_since(reader.logs[name].camera, began_s) for name in names]
    other = None if back is None else _since(back.logs[_BACK_NAME].camera, began_s)
    return Ran(cameras, began_s, sum(log.unseen for log in reader.logs.values()), used.used, used.waited, other)


def times(parts: Sequence[Part]) -> Times:
    """Of all of them together."""
    return Times({thread: spent for part in parts for thread, spent in part.times().items()})


@asynccontextmanager
async def _back(data: Path | None, case: Case) -> AsyncIterator[Reader | None]:
    """What comes of the agent that sends the other way, if there is one."""
    if data is None:
        yield None
        return
    async with open_stores(default_urls(data)) as stores:
        reader = Reader(stores, [_BACK_NAME], case.fps, payloads=False)
        reading = asyncio.create_task(reader.run())
        yield reader
        if reading.done():
            reading.result()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def _since(it: Camera, began_s: float) -> Camera:
    """With times since the run began."""
    frames = [
        Frame(f.index, f.captured_s - began_s, f.received_s - began_s, f.size, f.key, f.decodable, f.payload)
        for f in it.frames
    ]
    return Camera(frames, it.declared, [(at_s - began_s, size) for at_s, size in it.late])


async def _until(flows: object, parts: Sequence[Part], reading: asyncio.Task[None]) -> None:
    assert callable(flows)
    deadline = time.monotonic() + _START_S
    while not flows():
        if reading.done():
            reading.result()
        for part in parts:
            if part.process.poll() is not None:
                raise part.failure()
        if time.monotonic() > deadline:
            raise CannotEmulate(f"not all cameras flow: {[part.last_words() for part in parts]}")
        await asyncio.sleep(0.05)
