"""Measures what a rung of a ladder (bit rate, frame rate, width) costs in detections: footage is encoded as the agent
does it, decoded, and the model's detections are compared with those on the source pictures of the same instants.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from fishladder.inference.model import Detector
from fishladder.loadtest.accuracy.match import Counts, compare
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.ladder import Encoded, Footage, encode_pictures
from fishladder.wire.accuracy import Rung
from fishladder.wire.result import Detection

#: What is measured of a clip, in fractions of its own size and rate; rates in bits per pixel, so that clips compare.
BITS_PER_PIXEL = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
FPS = (0.5, 1.0, 2.0, 5.0)
WIDTHS = (0.25, 0.375, 0.5, 0.75)
#: While frame rate or width is varied, the bit rate is this.
PLENTY = 0.16
_GOP_S = 2.0
Varied = Literal["rate", "fps", "width"]


@dataclass(frozen=True)
class Clip:
    """A clip held in memory, and what the model finds in its own pictures at the chosen instants."""

    footage: Footage
    fps: float
    pictures: Sequence[VideoFrame]
    instants: Sequence[int]  #: indexes of pictures
    found: Sequence[list[Detection]]


def load_clip(
    footage: Footage, detector: Detector, instants: int, seconds: float, progress: Callable[[float, float], None]
) -> Clip:
    """`instants` pictures evenly over the first `seconds`, the first second left out."""
    fps = footage.fps
    pictures = list(footage.pictures(seconds))
    first = min(round(fps), len(pictures) - 1)
    step = max((len(pictures) - first) / instants, 1.0)
    chosen = sorted({min(first + int(k * step), len(pictures) - 1) for k in range(instants)})
    found = []
    for index, at in enumerate(chosen):
        found.append(_detect(detector, pictures[at]))
        progress(index + 1, len(chosen))
    return Clip(footage, fps, pictures, chosen, found)


def rungs_of(clip: Clip) -> Iterator[tuple[Varied, CameraSpec]]:
    """What is to be measured, with which of the three it varies."""
    width, height = clip.pictures[0].width & ~1, clip.pictures[0].height & ~1

    def spec(bits: float, fps: float = clip.fps, part: float = 1.0) -> CameraSpec:
        w, h = round(width * part / 2) * 2, round(height * part / 2) * 2
        return CameraSpec(width=w, height=h, fps=fps, bitrate_bps=bits * w * h * fps, gop_s=_GOP_S)

    for bits in BITS_PER_PIXEL:
        yield "rate", spec(bits)
    for fps in FPS:
        if fps < clip.fps:
            yield "fps", spec(PLENTY, fps=fps)
    for part in WIDTHS:
        yield "width", spec(PLENTY, part=part)


def measure(clip: Clip, varied: Varied, spec: CameraSpec, detector: Detector) -> Rung:
    """Between two pictures of a low frame rate, what was found in the last one stands."""
    encoded = encode_pictures(_sampled(clip, spec.fps), spec.fps, spec)
    wanted = [min(int((at + 0.5) / clip.fps * spec.fps), len(encoded.units) - 1) for at in clip.instants]
    detected = _detected(encoded, set(wanted), detector)
    counts = Counts()
    for reference, index in zip(clip.found, wanted, strict=True):
        counts = counts + compare(reference, detected[index])
    return Rung(
        clip=clip.footage.name,
        varied=varied,
        width=spec.width,
        height=spec.height,
        fps=spec.fps,
        bitrate_bps=round(sum(map(len, encoded.units)) * 8 / (len(encoded.units) / spec.fps)),
        f1=round(counts.f1, 4),
        precision=round(counts.both / max(counts.both + counts.extra, 1), 4),
        recall=round(counts.both / max(counts.both + counts.missed, 1), 4),
        objects=counts.both + counts.missed,
    )


def _sampled(clip: Clip, fps: float) -> Iterator[VideoFrame]:
    """The pictures a camera of that rate would take."""
    due = 0
    for index, picture in enumerate(clip.pictures):
        if index / clip.fps >= due / fps - 1e-9:
            yield picture
            due += 1


def _detected(encoded: Encoded, wanted: set[int], detector: Detector) -> dict[int, list[Detection]]:
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1
    found: dict[int, list[Detection]] = {}
    index = 0
    for packet in (*map(av.Packet, encoded.units), None):
        for frame in decoder.decode(packet):
            if index in wanted:
                found[index] = _detect(detector, frame)
            index += 1
    return found


def _detect(detector: Detector, frame: VideoFrame) -> list[Detection]:
    return detector.infer([detector.prepare(frame)])[0]
