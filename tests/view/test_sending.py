"""What is said of what an agent sends of a camera."""

import msgspec
import pytest

from fishladder.view.sending import gate_words, sending_view
from fishladder.wire.messages import SenderStatus

FULL = SenderStatus("encode", None, 600_000, 600_000, 5.0, 5.0, 640, 640)


@pytest.mark.parametrize(
    ("changes", "step", "what"),
    [
        ({}, "full", "in full"),
        ({"bitrate_bps": 580_000}, "full", "in full"),
        ({"bitrate_bps": 300_000}, "bits", "fewer bits: 300 kbit/s of 600 kbit/s"),
        ({"fps": 2.5}, "pictures", "fewer pictures: 2.5 of 5.0 fps"),
        ({"width": 320, "fps": 1.0}, "size", "smaller pictures: 320 of 640 pixels wide, 1.0 of 5.0 fps"),
        ({"hold": True, "width": 320}, "hold", "held back until the uplink is less full"),
        ({"mode": "passthrough"}, "as_is", "passed on as the camera makes it"),
        ({"mode": "passthrough", "sub": True}, "sub", "its sub-stream, as the camera makes it"),
        (
            {"mode": "passthrough", "sub": True, "keep": "tail"},
            "tail",
            "the first pictures of each group, of its sub-stream",
        ),
        ({"mode": "passthrough", "keep": "keyframes"}, "keyframes", "keyframes alone, of its main stream"),
        ({"mode": "passthrough", "hold": True}, "hold", "held back until the uplink is less full"),
    ],
)
def test_the_step_is_the_furthest_down_of_those_taken(changes: dict[str, object], step: str, what: str) -> None:
    it = sending_view(msgspec.structs.replace(FULL, **changes))
    assert (it.step, it.what) == (step, what)


def test_a_gate_is_open_or_closed_or_not_there() -> None:
    assert gate_words(sending_view(FULL)) == ""
    assert "nothing moves" in gate_words(sending_view(msgspec.structs.replace(FULL, gate="closed")))
    assert "something moves" in gate_words(sending_view(msgspec.structs.replace(FULL, gate="open")))
