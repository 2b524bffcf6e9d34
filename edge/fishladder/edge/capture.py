"""The capture process: one camera, from opening to its end, as records on a pipe. What happens in here (a native
crash, a hang) happens to this camera alone. Settings and commands come as JSON lines on stdin; when stdin ends, so
does this.

Started by `child`, as `python -m fishladder.edge.capture`.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Literal, NoReturn

import msgspec

from fishladder.edge.cameras.camera import Camera, Description
from fishladder.edge.cameras.kinds import CameraSettings, kind_of, open_camera
from fishladder.edge.capture_records import Ended, Flows, Opened, Record, pack
from fishladder.edge.encode import EncoderSettings
from fishladder.edge.gate import GateSettings
from fishladder.edge.passthrough import CODECS
from fishladder.edge.rate.passing import STEPS, Keep, Step
from fishladder.wire.errors import CameraError, ConfigError, FishladderError
from fishladder.wire.unit import Codec

if TYPE_CHECKING:  # NumPy and encoders: not in the processes of cameras that are passed on
    from fishladder.edge.live_capture import LiveCapture
    from fishladder.edge.transcode import Transcoder

Mode = Literal["auto", "encode", "passthrough"]
_FLOWS_S = 1.0


class CaptureSettings(msgspec.Struct, frozen=True):
    """The first line on stdin. `fps` None = every picture."""

    camera: CameraSettings
    encoder: EncoderSettings = EncoderSettings()
    mode: Mode = "auto"
    fps: float | None = None
    phase: float = 0.0  #: when within 1/fps a picture is taken: each camera of an agent has its own
    only_h264: bool = False  #: the uplink carries nothing else
    gate: GateSettings | None = None  #: send only what moves; pictures are needed for that, so nothing is passed on
    sub: CameraSettings | None = None  #: the camera's smaller stream, for a thin link
    steps: tuple[Step, ...] = STEPS  #: what is done of its own stream where that is too much


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """A further line on stdin. `fps` 0 = every picture; `thin_fps` 0 = all of those, `width` and `keyframe_s` 0 = as
    the settings say; `hold`: encode nothing; `pause`: nothing is wanted at all; `sub`: pass on the sub-stream; `keep`:
    what of a stream that is passed on. What is None stays as it is.
    """

    stop: bool = False
    keyframe: bool = False
    fps: float | None = None
    bitrate_bps: int | None = None
    thin_fps: float | None = None
    width: int | None = None
    hold: bool | None = None
    keyframe_s: float | None = None
    pause: bool | None = None
    sub: bool | None = None
    keep: Keep | None = None


#: What holds until another command changes it, in the next process as well. So does `fps`, which is the settings'.
LASTING = ("bitrate_bps", "thin_fps", "width", "hold", "keyframe_s", "pause", "sub", "keep")


class Orders:
    """What was commanded, as the capturing thread sees it between two pictures."""

    def __init__(self, fps: float | None, bitrate_bps: int) -> None:
        self.fps = fps
        self.bitrate_bps = bitrate_bps
        self.thin_fps = 0.0
        self.width = 0
        self.hold = False
        self.keyframe_s = 0.0
        self.pause = False
        self.sub = False
        self.keep: Keep = "all"
        self.stop = False
        self._keyframe = False

    def take(self, command: Command) -> None:
        self.stop |= command.stop
        self._keyframe |= command.keyframe
        if command.fps is not None:
            self.fps = command.fps or None
        for name in LASTING:
            if (value := getattr(command, name)) is not None:
                setattr(self, name, value)

    def keyframe_wanted(self) -> bool:
        wanted, self._keyframe = self._keyframe, False
        return wanted


Emit = Callable[[Record], None]


def capture(settings: CaptureSettings, orders: Orders, emit: Emit) -> None:
    """Capture until the camera ends, fails, or `orders.stop`. Raises `CameraError`, `ConfigError`."""
    camera, passing = open_camera(settings.camera), False
    try:
        found = camera.description
        fitting = ("h264",) if settings.only_h264 else ("h264", "hevc")
        passing = settings.mode == "passthrough" or (
            settings.mode == "auto" and found.codec in fitting and settings.gate is None
        )
        if passing and settings.only_h264 and found.codec != "h264":
            raise ConfigError(f'{found.codec} cannot be passed on by uplink = "whip": use mode = "encode" or "auto"')
        mode = "passthrough" if passing else "encode"
        emit(Opened(mode, found.codec, found.width, found.height, found.fps))
        if passing:
            _pass_on(camera, settings, orders, emit)
        else:
            _encode(camera, found, settings, orders, emit)
    finally:
        if not passing:
            camera.close()


def _pass_on(camera: Camera, settings: CaptureSettings, orders: Orders, emit: Emit) -> None:
    """`camera` is closed by the thread that reads it."""
    from fishladder.edge.two_streams import TwoStreams

    sub = settings.sub

    def anew(codec: Codec, found: Description) -> "Transcoder":
        from fishladder.edge.live_capture import LiveCapture
        from fishladder.edge.transcode import Transcoder

        live = LiveCapture(settings.encoder, None, found.fps, settings.phase)
        _steer(live, orders)
        return Transcoder(codec, live)

    streams = TwoStreams(
        camera,
        None if sub is None else lambda: open_sub(sub, only_h264=settings.only_h264),
        early=sub is not None and kind_of(sub.source) == "file",
        anew=anew,
    )
    said_s = time.monotonic()

    def obey() -> None:
        nonlocal said_s
        streams.wanted, streams.encoded = orders.sub, orders.keep == "transcode"
        if streams.transcoder is not None:
            _steer(streams.transcoder.live, orders)
        tail = streams.tail
        tail.rate_bps, tail.hold, tail.keep = orders.bitrate_bps, orders.hold, orders.keep
        if streams.changing:  # what there is until then must not be too much, or is little
            little = streams.on_sub and not streams.encoded
            tail.keep = "all" if little else "keyframes" if orders.keep == "keyframes" else "tail"
        if time.monotonic() - said_s >= _FLOWS_S:
            said_s = time.monotonic()
            emit(Flows(*streams.flows))

    try:
        for record in streams.records(obey):
            emit(record)
            if orders.stop:
                break
        for record in streams.rest():
            emit(record)
    finally:
        streams.close()


def open_sub(settings: CameraSettings, *, only_h264: bool) -> Camera:
    """A camera's sub-stream. Raises `CameraError` also where it cannot be passed on."""
    camera = open_camera(settings)
    codec = camera.description.codec
    if codec not in CODECS or (only_h264 and codec != "h264"):
        camera.close()
        raise CameraError(f"its sub-stream is {codec}, which cannot be passed on: set the camera to H.264")
    return camera


def _encode(camera: Camera, found: Description, settings: CaptureSettings, orders: Orders, emit: Emit) -> None:
    from fishladder.edge.live_capture import LiveCapture

    live = LiveCapture(settings.encoder, settings.gate, found.fps, settings.phase)
    for picture in camera.pictures():
        _steer(live, orders)
        for record in live.take(picture):
            emit(record)
        if orders.stop:
            break
    for record in live.close():
        emit(record)


def _steer(live: "LiveCapture", orders: Orders) -> None:
    live.obey(fps=orders.fps, bitrate_bps=orders.bitrate_bps, keyframe=orders.keyframe_wanted(), pause=orders.pause)
    live.thin(fps=orders.thin_fps or None, width=orders.width, hold=orders.hold, keyframe_s=orders.keyframe_s)


def _obey(stdin: BinaryIO, orders: Orders) -> NoReturn:
    """Take commands until stdin ends, which ends the process: whoever wanted its records is gone."""
    for line in stdin:
        orders.take(msgspec.json.decode(line, type=Command))
    os._exit(0)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; the agent decides when we end
        signal.signal(number, signal.SIG_IGN)
    # Native libraries may print: what they say must not get between the records.
    pipe = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=CaptureSettings)
    orders = Orders(settings.fps, settings.encoder.bitrate_bps)
    threading.Thread(target=_obey, args=(sys.stdin.buffer, orders), daemon=True).start()

    def emit(record: Record) -> None:
        data = memoryview(pack(record))
        while data:
            data = data[pipe.write(data) :]

    try:
        try:
            capture(settings, orders, emit)
        except FishladderError as error:
            emit(Ended(str(error)))
        else:
            emit(Ended())
    except BrokenPipeError:
        pass
    os._exit(0)  # not through native destructors, which may hang on a dead connection


if __name__ == "__main__":
    main()
