"""What a plain offline loop sees in a clip: decode everything in one go, detect in every picture."""

from pathlib import Path

import av
from support.clips import DECODERS, Clip

from fishladder.inference.model import load_detector
from fishladder.wire.result import Detection
from fishladder.wire.unit import Codec


def offline(model: Path, codec: Codec, clip: Clip) -> dict[int, list[Detection]]:
    """Detections by seq (from 1)."""
    detector = load_detector(model, provider="cpu")
    context = av.CodecContext.create(DECODERS[codec], "r")
    assert isinstance(context, av.VideoCodecContext)
    context.thread_count = 1
    shown = []
    for index, unit in enumerate(clip):
        packet = av.Packet(unit.payload)
        packet.pts = index
        shown += context.decode(packet)
    shown += context.decode(None)
    return {frame.pts + 1: detector.infer([detector.prepare(frame)])[0] for frame in shown if frame.pts is not None}
