"""Which codecs this installation has, and which hardware encoders not only exist but truly encode."""

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

from fishladder.operate.doctor_line import Line
from fishladder.runtime.encoders import H264, H265, encode_once, exists, works

_DECODERS = {"h264": "H.264", "hevc": "H.265", "vp8": "VP8", "vp9": "VP9", "libdav1d": "AV1", "mjpeg": "JPEG"}
_REQUIRED_DECODERS = ("h264", "hevc")
_HARDWARE = (*H264, *H265)


def check_codecs() -> list[Line]:
    """Decoders a worker needs and the encoder an agent needs; nothing if neither part is installed."""
    if find_spec("av") is None:
        return []
    present = {name for name in _DECODERS if _has_decoder(name)}
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


def _check_hardware() -> list[Line]:
    built_in = [name for name in _HARDWARE if exists(name)]
    with ThreadPoolExecutor(max_workers=4) as pool:
        fine = [name for name, working in zip(built_in, pool.map(works, built_in), strict=True) if working]
    if fine:
        return [Line("hardware encoders", "ok", ", ".join(fine))]
    tried = f"none works ({', '.join(built_in)} tried)" if built_in else "none in this build of PyAV"
    return [Line("hardware encoders", "ok", f"{tried}; libx264 does it on the CPU")]


def _has_decoder(codec: str) -> bool:
    import av

    try:
        av.Codec(codec, "r")
    except ValueError:  # what UnknownCodecError is
        return False
    return True
