"""The worker against real stores, with real streams and a real model: what an uninterrupted, plain loop would give."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import clips
from support.clips import Clip
from support.logged import Producer
from support.models import strips_model
from support.offline import offline
from support.workers import settled, worker_here

from fishladder.runtime.store import Stores
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return strips_model(tmp_path_factory.mktemp("model") / "strips.onnx")


@pytest.mark.parametrize(
    ("codec", "make"),
    [
        (Codec.H264, clips.plain),
        (Codec.H264, clips.b_frames),
        (Codec.H265, clips.h265_open_gop),
        (Codec.H264, clips.intra_refresh),
        (Codec.H264, clips.changing),
        (Codec.VP8, clips.vp8),
        (Codec.JPEG, clips.jpeg),
    ],
    ids=["plain", "b-frames", "h265 open gop", "intra refresh", "changing", "vp8", "jpeg"],
)
async def test_every_frame_is_inferred_once_as_offline(
    stores: Stores, model: Path, codec: Codec, make: Callable[[], Clip]
) -> None:
    clip = make()
    producer = Producer(stores, "site/camera", codec)
    producer.capture(clip)
    async with worker_here(stores, model):
        await producer.send()
        account = await settled(producer)
    expected = offline(model, codec, clip)
    assert account.fates == {(1, seq): Fate.INFERRED for seq in range(1, len(clip) + 1)}
    assert account.frames() == {(1, seq): found for seq, found in expected.items()}
