"""One cell of the table: a case, a variant, a seed. Sets up line and senders, and says what came of it."""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fishladder.loadtest.emulation.network import CORE_ADDRESS, Report
from fishladder.loadtest.sites.processes import Part
from thin import ours
from thin.beside import read_tcp, read_voice
from thin.cases import FIXED, OURS, STOCK, Case
from thin.detections import detections
from thin.figures import figures
from thin.footage import footage
from thin.frames import Camera, read
from thin.lines import Line, line
from thin.link_figures import queue_figures, tcp_figures
from thin.machine import Machine, cpu_figures, limited
from thin.ours import NotRunnable, Ran, times

_PORT, _VOICE_PORT, _TCP_PORT = 9000, 9100, 9200
_START_S = 60.0


def run_cell(case: Case, variant: str, seed: int, seconds: float, place: Path, clips: Path) -> dict[str, Any]:
    """Its figures; `limited` says that the machine was too slow for it to mean anything."""
    kind = "people" if case.detect else "street"
    sources = [
        footage(clips, kind, case.fps, case.quiet_s if index == 0 else 0.0) for index in range(len(case.cameras))
    ]
    seconds = case.seconds or seconds
    voice, tcp = place / "voice.bin", place / "tcp.bin"
    with line(case, seed) as it, _beside(case, it, place, seed, voice, tcp):
        if case.reverse:
            it.watch("up", "down")
        elif case.detect or case.name.startswith("rfc8867"):
            it.watch("up")
        machine = Machine()
        if variant == OURS:
            ran = asyncio.run(ours.run(case, it, place, sources, seconds))
        else:
            ran = _others(case, variant, it, place, sources, seconds)
        machine.stop()
        it.stop()
        report, back = it.network.report("up"), it.network.report("down")
    found = figures(case, ran.cameras, seconds)
    found |= cpu_figures(machine.ticks, ran.began_s, seconds)
    found["lost"] = _lost(report)
    if report.relay.overrun:
        found["relay_overrun"] = report.relay.overrun
    if ran.unseen:
        found["unseen"] = ran.unseen
    if ran.cpu_s:
        found["agents_cpu"] = round(ran.cpu_s / seconds, 2)
        found["agents_waited"] = round(ran.waited_s / seconds, 3)
    found |= queue_figures(case, it.looks.get("up", []), ran.began_s, seconds)
    if ran.back is not None:
        turned = case.backwards()
        other = figures(turned, [ran.back], seconds) | {"lost": _lost(back)}
        other |= queue_figures(turned, it.looks["down"], ran.began_s, seconds)
        found["late_pictures_ms"] = max(found["late_pictures_ms"], other["late_pictures_ms"])
        found |= {f"back_{key}": value for key, value in other.items()}
    if case.tcp:
        found |= tcp_figures(case, read_tcp(tcp), found["kbps"], found["used"], ran.began_s, seconds)
    if case.voice:
        packets = [ms for sent_s, ms in read_voice(voice) if sent_s > time.monotonic() - seconds]
        found["voice_p95_ms"] = round(sorted(packets)[int(len(packets) * 0.95)] - min(packets), 1)
    if case.detect:
        found |= detections(case, ran.cameras[0], sources[0], seconds)
        if found.get("uplink_kbps"):
            found["f1_per_uplink_mbit"] = round(found["f1"] / found["uplink_kbps"] * 1000, 3)
    found["limited"] = limited(found.get("cpu", 1.0), found.get("cpu_full", 1.0), found["late_pictures_ms"])
    return found


def _lost(report: Report) -> float:
    """Of the packets that came to a direction, by its queue and on the way."""
    return round((report.dropped + report.relay.lost_count) / max(report.offered, 1), 4)


@contextmanager
def _beside(case: Case, it: Line, place: Path, seed: int, voice: Path, tcp: Path) -> Iterator[None]:
    """Others on the line; what of them comes is written down in these files."""
    site, core = it.network.site, it.network.core
    with ExitStack() as running:

        def start(name: str, *command: str, at: Any) -> Part:
            return running.enter_context(Part(name, at, ["thin.beside", *command], place / f"{name}.log"))

        if case.voice:
            there = start("voice-receive", "voice-receive", CORE_ADDRESS, str(_VOICE_PORT), str(voice), at=core)
            there.wait_for(lambda: there.said(b"ready"), _START_S, "listen")
            start("voice-send", "voice-send", CORE_ADDRESS, str(_VOICE_PORT), at=site)
        if case.tcp:
            sink = start("tcp-receive", "tcp-receive", CORE_ADDRESS, str(_TCP_PORT), str(tcp), at=core)
            sink.wait_for(lambda: sink.said(b"ready"), _START_S, "listen")
            start("tcp-send", "tcp-send", CORE_ADDRESS, str(_TCP_PORT), case.tcp, str(seed), at=site)
        yield


def _others(case: Case, variant: str, it: Line, place: Path, sources: Sequence[Path], seconds: float) -> Ran:
    """A fixed rate, or stock aiortc: a sender and a receiver for each camera."""
    core, senders = it.network.core, []
    kbps = round(case.rate * 1000 * case.fixed_share / len(case.cameras))
    with ExitStack() as running:
        pairs = [(place / f"sent-{index}", place / f"came-{index}") for index in range(len(case.cameras))]

        def begin(index: int) -> None:
            sent, came = pairs[index]
            port, fps, where = _PORT + index, str(case.fps), it.site(index)
            if variant == FIXED:
                into = ["thin.fixed", "receive", CORE_ADDRESS, str(port), str(came)]
                out = ["thin.fixed", "send", CORE_ADDRESS, str(port), str(sources[index]), fps, str(kbps), str(sent)]
            else:
                assert variant == STOCK
                url = f"http://{CORE_ADDRESS}:{port}/whip/bench/c{index}"
                into = ["thin.stock", "receive", str(port), fps, str(came)]
                out = ["thin.stock", "send", url, str(sources[index]), fps, str(sent)]
            there = running.enter_context(Part("receiver", core, into, place / f"receiver-{index}.log"))
            there.wait_for(lambda: there.said(b"ready"), _START_S, "listen")
            senders.append(running.enter_context(Part("sender", where, out, place / f"sender-{index}.log")))

        starts = case.starts or [0.0] * len(pairs)
        at_once = [index for index, start in enumerate(starts) if start == 0.0]
        for index in at_once:
            begin(index)
        for part, index in zip(senders, at_once, strict=True):
            came = pairs[index][1]
            part.wait_for(lambda came=came: came.exists() and came.stat().st_size > 0, _START_S, "send")  # type: ignore[misc]
        it.network.begin()
        began_s, before = time.time(), times(senders)
        for start, index in sorted((start, index) for index, start in enumerate(starts) if start > 0):
            time.sleep(max(began_s + start - time.time(), 0.0))
            begin(index)
        time.sleep(max(began_s + seconds - time.time(), 0.0))
        used = times(senders).since(before, 1.0)
        for part in senders:
            if part.process.poll() is not None:
                raise part.failure()
    cameras: list[Camera] = [read(sent, came, began_s) for sent, came in pairs]
    return Ran(cameras, began_s, 0, used.used, used.waited)


def environment() -> None:
    """So that what is started finds these modules."""
    bench = Path(__file__).parents[1]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(bench), str(bench.parent)])


__all__ = ["NotRunnable", "environment", "run_cell"]
