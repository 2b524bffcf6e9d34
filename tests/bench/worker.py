"""Frames per second of a real worker process (one process, one thread, real stores, the log already full) beside a bare
loop of PyAV decode, preprocessing and ONNX Runtime over the same units with the same model, in interleaved rounds.

    python tests/bench/worker.py [--rounds 3] [--frames 250] [--json FILE]
"""

import argparse
import asyncio
import json
import os
import pickle
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from support.clips import Encoded
from support.logged import Producer
from support.stores import temporary_stores
from support.workers import ledger_of, settled, worker_process

from fishladder.inference.assets import fetch
from fishladder.wire import keys
from fishladder.wire.ids import Position
from fishladder.wire.result import decode

MODEL = "ssdlite-person"
TARGET = 0.9
#: Frames before the clock starts, in both.
WARM_UP = 10


def footage(frames: int) -> list[Encoded]:
    """The start of vtest (768 x 576 at 10 fps) as x264 would send it: 1 Mbit/s, a keyframe each 2 s, no B-frames."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 768, 576, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.gop_size, encoder.max_b_frames = Fraction(1, 10), Fraction(10), 20, 0
    encoder.bit_rate = 1_000_000
    encoder.options = {"preset": "veryfast"}
    packets = []
    with av.open(str(fetch("vtest"))) as clip:
        for index, frame in enumerate(clip.decode(video=0)):
            if index == frames:
                break
            picture = frame.reformat(format="yuv420p")
            picture.pts, picture.time_base = index, encoder.time_base
            packets += encoder.encode(picture)
    packets += encoder.encode(None)
    return [Encoded(bytes(packet), (packet.pts or 0) * 100_000, 100_000) for packet in packets]


def bare(units_file: str) -> None:
    """The loop to compare with; prints seconds of wall and CPU time. Runs in a process of its own."""
    import onnxruntime

    units: list[Encoded] = pickle.loads(Path(units_file).read_bytes())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(fetch(MODEL)), options, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    height, width = feed.shape[1:3]
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.thread_count = 1
    scale = VideoReformatter()
    done, began, cpu = 0, 0.0, 0.0
    for unit in [*units, None]:
        for frame in decoder.decode(av.Packet(unit.payload) if unit else None):
            picture = scale.reformat(frame, width, height, "rgb24", interpolation=Interpolation.FAST_BILINEAR)
            session.run(None, {feed.name: picture.to_ndarray()[np.newaxis]})
            done += 1
            if done == WARM_UP:
                began, cpu = time.perf_counter(), time.process_time()
    frames = done - WARM_UP
    wall_s = time.perf_counter() - began
    print(json.dumps({"fps": frames / wall_s, "cpu_ms": (time.process_time() - cpu) * 1000 / frames}))


async def bare_round(units_file: Path) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--bare", str(units_file), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    figures: dict[str, float] = json.loads(out)
    return figures


async def worker_round(units: list[Encoded], log: Path) -> dict[str, float]:
    """A worker that finds everything in the log; the clock runs between its commits, on the state store."""
    async with temporary_stores() as stores:
        producer = Producer(stores, "bench/camera")
        producer.capture(units)
        await producer.send()
        async with worker_process(stores, fetch(MODEL), log) as process:

            async def cpu_ms_at(seq: int) -> float:
                while (await ledger_of(producer)).cursor < Position(1, seq):
                    assert process.returncode is None, f"the worker ended, see {log}"
                    await asyncio.sleep(0.05)
                return cpu_ms(process.pid)

            cpu_before = await cpu_ms_at(WARM_UP)
            counted_from = (await ledger_of(producer)).cursor.seq
            cpu = await cpu_ms_at(len(units)) - cpu_before
            await settled(producer)
        entries = await stores.state.xrange(keys.results(producer.partition, producer.camera))
    commits = [(int(entry_id.split(b"-")[0]), decode(fields[b"r"]).last) for entry_id, fields in entries]
    began_ms, began_at = next((ms, last) for ms, last in commits if last >= WARM_UP)
    ended_ms, ended_at = commits[-1]
    return {
        "fps": (ended_at - began_at) * 1000 / (ended_ms - began_ms),
        "cpu_ms": cpu / (len(units) - counted_from),
    }


def cpu_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


async def measure(rounds: int, frames: int) -> dict[str, object]:
    units = footage(frames)
    ours, plain = [], []
    with tempfile.TemporaryDirectory() as place:
        units_file = Path(place) / "units"
        units_file.write_bytes(pickle.dumps(units))
        for number in range(rounds):
            plain.append(await bare_round(units_file))
            ours.append(await worker_round(units, Path(place) / "log"))
            print(f"round {number + 1}: worker {ours[-1]['fps']:.1f} fps, bare loop {plain[-1]['fps']:.1f} fps")
    ratio = median(one["fps"] / other["fps"] for one, other in zip(ours, plain, strict=True))
    return {
        "frames": len(units),
        "worker_fps": median(one["fps"] for one in ours),
        "bare_fps": median(one["fps"] for one in plain),
        "ratio": ratio,
        "worker_cpu_ms": median(one["cpu_ms"] for one in ours),
        "bare_cpu_ms": median(one["cpu_ms"] for one in plain),
        "target": TARGET,
        "met": ratio >= TARGET,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare:
        bare(args.bare)
        return
    report = asyncio.run(measure(args.rounds, args.frames))
    print(f"worker, 768x576 H.264, every frame, {MODEL}, 1 process of 1 thread, medians of {args.rounds} rounds")
    print(f"  {'':<12}{'fps':>8}{'CPU ms/frame':>14}")
    print(f"  {'worker':<12}{report['worker_fps']:8.1f}{report['worker_cpu_ms']:14.1f}")
    print(f"  {'bare loop':<12}{report['bare_fps']:8.1f}{report['bare_cpu_ms']:14.1f}")
    print(f"  ratio {report['ratio']:.2f}, target {TARGET}: {'met' if report['met'] else 'MISSED'}")
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
