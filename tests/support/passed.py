"""Video files of real encoders, as units that were passed on, and what a plain decode shows of either."""

import itertools
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.frame import VideoFrame
from support.clips import DECODERS, scene

from fishladder.edge.cameras.file import FileCamera
from fishladder.edge.cameras.kinds import CameraSettings
from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.passthrough import Passthrough

FPS = 10


class Made(NamedTuple):
    encoder: str
    name: str
    b_frames: int = 0
    gop: int = 10
    options: tuple[tuple[str, str], ...] = ()
    pix_fmt: str = "yuv420p"
    width: int = 160
    height: int = 96


def make(path: Path, made: Made, pictures: int = 30) -> Path:
    file = path / made.name
    with av.open(file, "w") as out:
        stream = out.add_stream(made.encoder, rate=FPS, options=dict(made.options))
        stream.width, stream.height, stream.pix_fmt = made.width, made.height, made.pix_fmt
        stream.codec_context.gop_size = made.gop
        stream.codec_context.max_b_frames = made.b_frames
        stream.codec_context.thread_count = 1
        for index in range(pictures):
            frame = scene(index, made.width, made.height).reformat(format=made.pix_fmt)
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file


def units_of(file: Path, *, loop_to: int = 0) -> list[CapturedUnit]:
    camera = FileCamera(str(file), CameraSettings(str(file), speed=1000.0, loop=bool(loop_to)))
    try:
        units = Passthrough(camera.description)
        packets = camera.packets()
        return [units.take(packet) for packet in (itertools.islice(packets, loop_to) if loop_to else packets)]
    finally:
        camera.close()


def planes(frames: list[VideoFrame]) -> list[np.ndarray]:  # type: ignore[type-arg]
    return [frame.to_ndarray(format="yuv420p") for frame in frames]


def decode_units(units: list[CapturedUnit]) -> list[VideoFrame]:
    decoder = av.CodecContext.create(DECODERS[units[0].codec], "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames: list[VideoFrame] = []
    for unit in units:
        frames += decoder.decode(av.Packet(unit.payload))
    return frames + decoder.decode(None)


def decode_file(file: Path) -> list[VideoFrame]:
    with av.open(file) as container:
        return list(container.decode(video=0))


X264 = (("preset", "ultrafast"), ("bf", "0"))
CASES = [
    Made("libx264", "plain.mp4", options=X264),
    Made("libx264", "b.mp4", 2, options=(("preset", "veryfast"),)),
    Made("libx264", "b.mkv", 3, options=(("preset", "veryfast"), ("x264-params", "open-gop=1"))),
    Made("libx264", "plain.ts", options=X264),
    Made("libx264", "b.h264", 2, options=(("preset", "veryfast"),)),
    Made("libx265", "open.mp4", 3, options=(("preset", "ultrafast"), ("x265-params", "log-level=none:open-gop=1"))),
    Made("libvpx", "plain.webm", options=(("deadline", "realtime"), ("cpu-used", "8"))),
    Made("libvpx-vp9", "vp9.webm", options=(("deadline", "realtime"), ("cpu-used", "8"))),
    Made("mjpeg", "plain.avi", pix_fmt="yuvj420p"),
]
