"""Hardware encoders of this host: which ones truly encode, since a driver that exists may still refuse. Each is tried
in a process of its own, because drivers hang, crash, and write to stderr.
"""

import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

#: Of H.264, in the order in which they are preferred, with the devices of which one must be there.
H264 = {
    "h264_nvenc": ("/dev/nvidiactl", "/dev/dxg"),
    "h264_qsv": ("/dev/dri/renderD*",),
    "h264_v4l2m2m": ("/dev/video1[0-9]", "/dev/v4l/by-path/*-codec*"),
    "h264_videotoolbox": (),
}
H265 = ("hevc_nvenc", "hevc_qsv", "hevc_videotoolbox")
#: What makes them give out each picture at once, at a constant rate, with an IDR where one is asked for.
LIVE = {
    "h264_nvenc": {"preset": "p3", "tune": "ull", "rc": "cbr", "zerolatency": "1", "delay": "0", "forced-idr": "1"},
    "h264_qsv": {"preset": "veryfast", "async_depth": "1", "look_ahead": "0", "forced_idr": "1"},
    "h264_videotoolbox": {"realtime": "1", "prio_speed": "1"},
}
_TRIAL_S = 20.0


def exists(encoder: str) -> bool:
    """Whether this build of PyAV has it."""
    import av

    try:
        av.Codec(encoder, "w")
    except ValueError:  # what UnknownCodecError is
        return False
    return True


def encode_once(encoder: str, *, at_once: bool = False) -> str:
    """Encode a few grey pictures; what went wrong, or nothing. `at_once`: each must be out before the next goes in."""
    import av
    from av.video.frame import VideoFrame

    try:
        context = av.CodecContext.create(encoder, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height = 320, 240
        context.pix_fmt = "nv12" if encoder.endswith("_qsv") else "yuv420p"
        context.bit_rate = 500_000
        context.framerate = Fraction(10)
        context.max_b_frames = 0
        context.options = LIVE.get(encoder, {})
        packets = [context.encode(VideoFrame(320, 240, context.pix_fmt)) for _ in range(3)]
        if at_once and not all(packets):
            return "it holds pictures back"
        packets.append(context.encode(None))
    except (av.FFmpegError, ValueError, OSError) as error:
        return str(error) or type(error).__name__
    return "" if any(packets) else "it encodes nothing"


def works(encoder: str, *, at_once: bool = False) -> bool:
    """The same, as a question, in a process of its own: a second, or `_TRIAL_S` if its driver hangs."""
    code = (
        "import sys; from fishladder.runtime.encoders import encode_once; "
        f"sys.exit(bool(encode_once({encoder!r}, at_once={at_once})))"
    )
    try:
        trial = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=_TRIAL_S)  # noqa: S603
    except subprocess.TimeoutExpired:
        return False
    return trial.returncode == 0


def best_h264(root: Path = Path("/")) -> str | None:
    """The hardware encoder to use live, if one works; those without a device under `root` are not even tried."""
    found = (name for name, devices in H264.items() if _plausible(devices, root) and exists(name))
    return next((name for name in found if works(name, at_once=True)), None)


def _plausible(devices: Sequence[str], root: Path) -> bool:
    if not devices:
        return sys.platform == "darwin"
    return any(any(root.glob(device.lstrip("/"))) for device in devices)
