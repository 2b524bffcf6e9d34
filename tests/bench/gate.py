"""What the motion gate saves and what it costs: a static night scene of an hour with real people walking through it now
and then, encoded with and without the gate, and the default detector on what is sent of each event: somebody must be
seen in a picture of the event itself, and nobody in the empty street, else seeing would prove nothing.

    python tests/bench/gate.py [--minutes 60] [--json FILE]
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from fishladder.edge.cameras.camera import Picture
from fishladder.edge.capture_records import Captured, CapturedUnit, Left
from fishladder.edge.encode import EncoderSettings
from fishladder.edge.gate import GateSettings
from fishladder.edge.live_capture import LiveCapture
from fishladder.inference.assets import fetch
from fishladder.inference.model import Detector, load_detector

FPS = 5
EVENT_S, EVERY_S = 4, 600
NOISE_LEVELS = 3.0
DARK = 0.6
BOUND = 0.05
#: An hour without the gate is measured on so much of it: nothing in it changes.
SAMPLE_S = 300

Luma = npt.NDArray[np.float32]


def street() -> tuple[Luma, list[Luma]]:
    """The empty street (the median of the clip) and its pictures with people, as luma of the clip's size."""
    seen: list[Luma] = []
    with av.open(str(fetch("vtest"))) as clip:
        for index, frame in enumerate(clip.decode(video=0)):
            if index % 2 == 0:
                seen.append(frame.to_ndarray(format="gray").astype(np.float32))
    return np.median(np.stack(seen[::8]), axis=0), seen


class Night:
    """Pictures by number: the empty street with noise, and people for `EVENT_S` every `EVERY_S`."""

    def __init__(self) -> None:
        self.empty, self.people = street()
        rng = np.random.default_rng(1)
        self.noise = [rng.normal(0, NOISE_LEVELS, self.empty.shape).astype(np.float32) for _ in range(24)]
        self.picks = rng.integers(0, len(self.noise), 1_000_000)

    def event(self, index: int) -> int | None:
        """Which event a picture is of."""
        number, at = divmod(index, EVERY_S * FPS)
        return number if at >= EVERY_S * FPS - EVENT_S * FPS else None

    def picture(self, index: int) -> Picture:
        scene = self.empty if self.event(index) is None else self.people[index % len(self.people)]
        luma = (scene * DARK + self.noise[self.picks[index]]).clip(0, 255)
        height, width = luma.shape
        planes = np.full((height * 3 // 2, width), 128, np.uint8)
        planes[:height] = luma
        at_us = index * 1_000_000 // FPS
        return Picture(VideoFrame.from_ndarray(planes, format="yuv420p"), at_us, at_us + 1_000_000)


def film(night: Night, live: LiveCapture, pictures: range) -> Iterator[tuple[int, bytes | None]]:
    """What became of each picture: its number and, if it was sent, its bytes."""
    waiting: list[int] = []
    for index in pictures:
        for record in live.take(night.picture(index)):
            if isinstance(record, Captured):
                waiting.append(index)
            elif isinstance(record, CapturedUnit):
                yield waiting.pop(0), record.payload
            elif isinstance(record, Left):
                yield waiting.pop(0), None
    for _ in live.close():
        yield waiting.pop(0), None


def people(detector: Detector, units: list[bytes], last: int) -> int:
    """In how many of the `last` pictures of a stream, which begins with a keyframe, somebody is seen."""
    decoder = av.CodecContext.create("h264", "r")
    pictures = [picture for unit in units for picture in decoder.decode(av.Packet(unit))]
    return sum(bool(detector.infer([detector.prepare(picture)])[0]) for picture in pictures[-last:])


def measure(minutes: int) -> dict[str, Any]:
    """Bytes with and without the gate, and the events in which somebody was seen."""
    night = Night()
    detector = load_detector(fetch("ssdlite-person"), provider="cpu")
    length = minutes * 60 * FPS
    with_gate = 0
    sent = 0
    events: dict[int, tuple[list[bytes], int]] = {}  #: the stream until then, and how much of it is the event
    stream: list[bytes] = []
    quiet: list[bytes] = []
    for index, payload in film(night, LiveCapture(EncoderSettings(), GateSettings(), FPS, 0.0), range(length)):
        if index % (60 * FPS) == 0:
            print(f"\r{index // (60 * FPS)} of {minutes} minutes", end="", file=sys.stderr, flush=True)
        if payload is None:
            stream = []
            continue
        sent += 1
        with_gate += len(payload)
        stream.append(payload)
        if (number := night.event(index)) is not None:
            events[number] = list(stream), events.get(number, ([], 0))[1] + 1
        elif not events:
            quiet = list(stream) if len(stream) > len(quiet) else quiet
    print(file=sys.stderr)
    sample = range(min(SAMPLE_S * FPS, length))
    without = sum(
        len(payload or b"") for _, payload in film(night, LiveCapture(EncoderSettings(), None, FPS, 0.0), sample)
    )
    without = without * length // len(sample)
    expected = sorted({number for index in range(length) if (number := night.event(index)) is not None})
    seen = [people(detector, *events[number]) if number in events else 0 for number in expected]
    return {
        "minutes": minutes,
        "pictures": length,
        "sent": sent,
        "bytes_with": with_gate,
        "bytes_without": without,
        "share": with_gate / without,
        "events": len(expected),
        "events_seen": sum(count > 0 for count in seen),
        "pictures_seen": seen,
        "seen_in_empty": people(detector, quiet, len(quiet)),
    }


def met(found: Mapping[str, Any]) -> bool:
    """Somebody who is seen where nobody is proves nothing, nor does an hour without events."""
    seen = 0 < found["events"] == found["events_seen"] and not found["seen_in_empty"]
    return bool(seen and found["share"] <= BOUND)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = measure(args.minutes)
    print(
        f"gate, {args.minutes} minutes of a static night scene at {FPS} fps, an event of {EVENT_S} s every {EVERY_S} s"
    )
    print(f"  sent         {found['sent']} of {found['pictures']} pictures")
    shares = f"{found['bytes_with']:,} of {found['bytes_without']:,} without the gate"
    print(f"  bytes        {shares}: {found['share']:.1%}")
    print(f"  events seen  {found['events_seen']} of {found['events']}, in pictures: {found['pictures_seen']}")
    print(f"  empty street somebody seen in {found['seen_in_empty']} pictures")
    print(f"  bound: at most {BOUND:.0%} of the bytes, every event: {'met' if met(found) else 'NOT met'}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
