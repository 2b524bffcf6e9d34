"""Pictures into models: fitting, and that neither padded lines nor the pixel format change what the model sees."""

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation
from hypothesis import given
from hypothesis import strategies as st

from fishladder.inference.adapters.picture import Fit, Preparer, fed, fitted, to_picture
from fishladder.inference.adapters.signature import Input

side = st.integers(1, 5000)
input_side = st.integers(16, 2000)


def feed(height: int, width: int, dtype: str = "uint8", channels_first: bool = False) -> Input:
    return Input("images", dtype, channels_first, height, width, None)  # type: ignore[arg-type]


@given(side, side, input_side, input_side, st.sampled_from(Fit))
def test_the_picture_lies_within_the_input_and_boxes_find_back(
    width: int, height: int, into_width: int, into_height: int, fit: Fit
) -> None:
    area = fitted(width, height, into_width, into_height, fit)
    assert area.left >= 0
    assert area.top >= 0
    assert area.width >= 1
    assert area.height >= 1
    assert area.left + area.width <= into_width
    assert area.top + area.height <= into_height
    whole = np.array([[area.left, area.top, area.left + area.width, area.top + area.height]], np.float64)
    assert to_picture(whole, area).tolist() == [[0, 0, 1, 1]]
    if fit is Fit.LETTERBOX:
        assert area.width == into_width or area.height == into_height
        assert abs(area.left - (into_width - area.left - area.width)) <= 1
        scale = min(into_width / width, into_height / height)
        assert abs(area.width - max(width * scale, 1)) <= 0.5 + 1e-6
        assert abs(area.height - max(height * scale, 1)) <= 0.5 + 1e-6


@pytest.mark.parametrize("width", [301, 300, 67, 16])
def test_padded_lines_do_not_shear_the_picture(width: int) -> None:
    pixels = np.random.default_rng(width).integers(0, 256, (48, width, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    assert np.array_equal(Preparer(feed(48, width), Fit.STRETCH).prepare(frame).pixels, pixels)


def test_letterboxed_pixels_are_the_scaled_picture_on_grey() -> None:
    y, x = np.mgrid[0:90, 0:160]
    pixels = np.stack([x, y, 255 - x], axis=2).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    prepared = Preparer(feed(64, 64), Fit.LETTERBOX).prepare(frame)
    assert prepared.area == (0, 14, 64, 36)
    assert prepared.pixels.shape == (64, 64, 3)
    assert (prepared.pixels[:14] == 114).all()
    assert (prepared.pixels[50:] == 114).all()
    scaled = frame.reformat(64, 36, interpolation=Interpolation.FAST_BILINEAR).to_ndarray()
    assert np.array_equal(prepared.pixels[14:50], scaled)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "nv12", "yuv422p", "gray", "bgr24", "yuv420p10le"])
def test_any_pixel_format_and_changing_sizes(pixel_format: str) -> None:
    """One preparer sees pictures of several cameras, one after the other."""
    preparer = Preparer(feed(60, 80), Fit.STRETCH)
    for height, width in ((480, 640), (97, 131), (480, 640), (2, 2)):
        grey = av.VideoFrame.from_ndarray(np.full((height, width, 3), 128, np.uint8), format="rgb24")
        prepared = preparer.prepare(grey.reformat(format=pixel_format))
        assert prepared.pixels.shape == (60, 80, 3)
        assert np.abs(prepared.pixels.astype(int) - 128).max() <= 3


def test_what_is_prepared_outlives_its_frame() -> None:
    preparer = Preparer(feed(60, 80), Fit.STRETCH)
    shades = [av.VideoFrame.from_ndarray(np.full((60, 80, 3), shade, np.uint8), format="rgb24") for shade in (10, 200)]
    prepared = [preparer.prepare(frame) for frame in shades]
    for frame in shades:
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
    assert [int(one.pixels.mean()) for one in prepared] == [10, 200]


def test_layouts() -> None:
    pixels = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    assert fed(pixels, feed(4, 5)) is pixels
    floats = fed(pixels, feed(4, 5, "float32", channels_first=True))
    assert (floats.shape, floats.dtype, float(floats[1, 2, 3, 4])) == (
        (2, 3, 4, 5),
        np.float32,
        pytest.approx(119 / 255),
    )
    assert fed(pixels, feed(4, 5, "float16")).dtype == np.float16
