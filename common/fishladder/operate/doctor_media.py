"""Which codecs this installation has, and which hardware encoders not only exist but truly encode. Each of those is
tried in a process of its own, because drivers hang, crash, and write to stderr.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from importlib.util import find_spec

from fishladder.operate.doctor_line import Line

_DECODERS = {"h264": "H.264", "hevc": "H.265", "vp8": "VP8", "vp9": "VP9", "libdav1d": "AV1", "mjpeg": "JPEG"}
_REQUIRED_DECODERS = ("h264", "hevc")
_HARDWARE = (
    "h264_nvenc",
    "hevc_nvenc",
    "h264_qsv",
    "hevc_qsv",
    "h264_v4l2m2m",
    "h264_vaapi",
    "h264_videotoolbox",
    "hevc_videotoolbox",
)
_TRIAL_S = 20.0


def check_codecs() -> list[Line]:
    """Decoders a worker needs and the encoder an agent needs; nothing if neither part is installed."""
    if find_spec("av") is None:
        return []
    present = {name for name in _DECODERS if _exists(name, "r")}
    names = ", ".join(label for name, label in _DECODERS.items() if name in present)
    absent = [label for name, label in _DECODERS.items() if name not in present]
    lacking = [name for name in _REQUIRED_DECODERS if name not in present]
    decoders = f"{names}; not {', '.join(absent)}" if absent else names
    lines = [Line("decoders", "fail" if lacking else "warn" if absent else "ok", decoders)]
    if failure := encode_once("libx264"):
        lines.append(Line("encoder", "fail", f"libx264: {failure}; agents can only pass camera units through"))
    else:
        lines.append(Line("encoder", "ok", "libx264"))
    return [*lines, *_check_hardware()]


def encode_once(encoder: str) -> str:
    """Encode a few grey pictures; what went wrong, or nothing."""
    import av
    from av.video.frame import VideoFrame

    try:
        context = av.CodecContext.create(encoder, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height = 320, 240
        context.pix_fmt = "nv12" if encoder.endswith("_qsv") else "yuv420p"
        context.bit_rate = 500_000
        context.framerate = Fraction(10)
        packets = [context.encode(VideoFrame(320, 240, context.pix_fmt)) for _ in range(3)]
        packets.append(context.encode(None))
    except (av.FFmpegError, ValueError, OSError) as error:
        return str(error) or type(error).__name__
    return "" if any(packets) else "it encodes nothing"


def _check_hardware() -> list[Line]:
    built_in = [name for name in _HARDWARE if _exists(name, "w")]
    with ThreadPoolExecutor(max_workers=4) as pool:
        works = [name for name, working in zip(built_in, pool.map(_works, built_in), strict=True) if working]
    if works:
        return [Line("hardware encoders", "ok", ", ".join(works))]
    tried = f"none works ({', '.join(built_in)} tried)" if built_in else "none in this build of PyAV"
    return [Line("hardware encoders", "ok", f"{tried}; libx264 does it on the CPU")]


def _works(encoder: str) -> bool:
    code = (
        f"import sys; from fishladder.operate.doctor_media import encode_once; sys.exit(bool(encode_once({encoder!r})))"
    )
    try:
        trial = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=_TRIAL_S)  # noqa: S603
    except subprocess.TimeoutExpired:
        return False
    return trial.returncode == 0


def _exists(codec: str, mode: str) -> bool:
    import av

    try:
        av.Codec(codec, "r" if mode == "r" else "w")
    except ValueError:  # what UnknownCodecError is
        return False
    return True
