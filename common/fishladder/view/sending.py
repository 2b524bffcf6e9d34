"""What an agent sends of a camera, as a step of its ladder and in words. Pure."""

from fishladder.view.models import SendingView, Step
from fishladder.view.words import rate
from fishladder.wire.messages import SenderStatus

#: Bitrates follow the uplink in small steps: so close to what is wanted is all of it.
_ALL = 0.95


def sending_view(it: SenderStatus) -> SendingView:
    step, what = _step(it)
    return SendingView(
        step,
        what,
        it.gate,
        bitrate_bps=it.bitrate_bps,
        of_bps=it.of_bps,
        fps=it.fps,
        of_fps=it.of_fps,
        width=it.width,
        of_width=it.of_width,
    )


def gate_words(it: SendingView) -> str:
    """How the motion gate stands; '' where there is none."""
    return {None: "", "open": "gate open: something moves", "closed": "gate closed: nothing moves"}[it.gate]


def _step(it: SenderStatus) -> tuple[Step, str]:
    if it.hold:
        return "hold", "held back until the uplink is less full"
    if it.mode == "passthrough":
        stream = "its sub-stream" if it.sub else "its main stream"
        if it.keep == "keyframes":
            return "keyframes", f"keyframes alone, of {stream}"
        if it.keep == "tail":
            return "tail", f"the first pictures of each group, of {stream}"
        return (
            ("sub", "its sub-stream, as the camera makes it")
            if it.sub
            else ("as_is", "passed on as the camera makes it")
        )
    fewer = f"{it.fps:.1f} of {it.of_fps:.1f} fps" if it.fps < it.of_fps else ""
    bits = f"{rate(it.bitrate_bps)} of {rate(it.of_bps)}" if it.bitrate_bps < _ALL * it.of_bps else ""
    if it.width < it.of_width:
        smaller = f"{it.width} of {it.of_width} pixels wide"
        return "size", f"smaller pictures: {', '.join(part for part in (smaller, fewer, bits) if part)}"
    if fewer:
        return "pictures", f"fewer pictures: {', '.join(part for part in (fewer, bits) if part)}"
    if bits:
        return "bits", f"fewer bits: {bits}"
    return "full", "in full"
