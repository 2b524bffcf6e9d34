"""What a detector finds in what came live, against what it finds in the uncompressed pictures of the same instants,
and for how many bits. Why the quotient is not all there is, `cases` says.
"""

import json
from pathlib import Path
from statistics import median
from typing import Any

import av
import msgspec
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from fishladder.inference.assets import fetch
from fishladder.inference.model import Detector, load_detector
from fishladder.loadtest.accuracy.match import Counts, compare
from fishladder.wire.result import Detection
from thin.cases import Case
from thin.figures import SETTLED_S
from thin.footage import SECONDS, pictures
from thin.frames import Camera

_EACH_S = 0.5  #: from one instant to the next
_STANDS_S = 1.0  #: what was found in a picture stands for so long at most


def detections(case: Case, camera: Camera, source: Path, seconds: float) -> dict[str, Any]:
    """Detections a minute that agree with the source's, F1, and F1 for each megabit a second of video that went over
    the uplink, backfill included."""
    detector = load_detector(fetch("ssdlite-person"))
    truth = _truth(source, case.fps, detector)
    frames = [it for it in camera.frames if it.decodable]
    if len(frames) < 2:
        return {"f1": 0.0, "f1_per_mbit": 0.0, "detections_min": 0.0}
    offset_s = median(it.captured_s - it.index / case.fps for it in frames)
    step, count = round(case.fps * _EACH_S), round(SECONDS["people"] * case.fps)
    first = int((SETTLED_S - offset_s) * case.fps / step + 1) * step
    instants = range(first, int((seconds - 2 - offset_s) * case.fps), step)
    shown: dict[int, int | None] = {}
    for instant in instants:
        newest = max((n for n, it in enumerate(frames) if it.index <= instant), default=None)
        fresh = newest is not None and instant - frames[newest].index <= _STANDS_S * case.fps
        shown[instant] = newest if fresh else None
    found = _found(camera, {it for it in shown.values() if it is not None}, detector)
    counts, in_source = Counts(), 0
    for instant, newest in shown.items():
        reference = truth[instant % count // step]
        in_source += len(reference)
        counts = counts + compare(reference, [] if newest is None else found.get(newest, []))
    minutes = max(len(instants) * _EACH_S / 60, 1e-9)
    mbps = sent_bps(camera, seconds) / 1e6
    return {
        "f1": round(counts.f1, 3),
        "sent_kbps": round(mbps * 1000, 1),
        "f1_per_mbit": round(counts.f1 / max(mbps, 1e-9), 3),
        "detections_min": round(counts.both / minutes),
        "detections_min_source": round(in_source / minutes),
    }


def sent_bps(camera: Camera, seconds: float) -> float:
    """Video that went over the uplink, live and late, once a run had settled; without what wraps it, of which the
    uplink's own counter has all.
    """
    came = [(it.received_s, len(it.payload)) for it in camera.frames] + camera.late
    return sum(size for at_s, size in came if SETTLED_S < at_s < seconds) * 8 / (seconds - SETTLED_S)


def _found(camera: Camera, wanted: set[int], detector: Detector) -> dict[int, list[Detection]]:
    """By the number among the decodable frames."""
    decoder: VideoCodecContext | None = None
    found: dict[int, list[Detection]] = {}
    for number, frame in enumerate(it for it in camera.frames if it.decodable):
        if frame.key or decoder is None:
            context = av.CodecContext.create("h264", "r")
            assert isinstance(context, VideoCodecContext)
            context.thread_count, context.flags = 1, context.flags | 0x80000  # low delay: each picture at once
            decoder = context
        for picture in decoder.decode(av.Packet(frame.payload)):
            if number in wanted:
                found[number] = _detect(detector, picture)
    return found


def _truth(source: Path, fps: int, detector: Detector) -> list[list[Detection]]:
    """Of the source's pictures at each instant, kept beside it."""
    kept = source.with_suffix(".json")
    if not kept.exists():
        step = round(fps * _EACH_S)
        found = [_detect(detector, it) for index, it in enumerate(pictures(source)) if index % step == 0]
        kept.with_suffix(".new").write_bytes(msgspec.json.encode(found))
        kept.with_suffix(".new").rename(kept)
    return msgspec.convert(json.loads(kept.read_text()), list[list[Detection]])


def _detect(detector: Detector, frame: VideoFrame) -> list[Detection]:
    return detector.infer([detector.prepare(frame)])[0]
