"""A camera that is passed on, with a main and a sub-stream, over an uplink too thin for the main one: the sub-stream
comes soon, detections go on, and the main stream is back when the link is.
"""

import time
from pathlib import Path

import av
import pytest
from support.clips import scene
from support.fleet import fleet, until
from support.link import link
from support.models import strips_model

from fishladder.wire import keys
from fishladder.wire.entry import LoggedUnit, read_entry
from fishladder.wire.fates import Fate
from fishladder.wire.ids import partition_of

CAMERA = "shop/door"
FPS = 10


def clip(file: Path, width: int, height: int, kbps: int, encoder: str, seconds: int = 12) -> Path:
    """At a constant bit rate, with a keyframe a second."""
    rate = {
        "libx264": {"x264-params": "nal-hrd=cbr:scenecut=0"},
        "libx265": {"x265-params": "log-level=none:bframes=0:open-gop=0"},
    }
    with av.open(str(file), "w") as out:
        stream = out.add_stream(encoder, rate=FPS, options={"preset": "ultrafast", "bf": "0", **rate[encoder]})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.gop_size, context.bit_rate = FPS, kbps * 1000
        context.options |= {"maxrate": str(kbps * 1000), "bufsize": str(kbps * 500)}
        for index in range(seconds * FPS):
            frame = scene(index, width, height)
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
async def test_the_sub_stream_comes_on_a_thin_link_and_the_main_one_back(encoder: str, tmp_path: Path) -> None:
    main = clip(tmp_path / "main.mp4", 640, 360, 2000, encoder)
    sub = clip(tmp_path / "sub.mp4", 320, 180, 300, encoder)
    settings = tmp_path / "edge.toml"
    async with fleet(tmp_path) as (system, stores), link(system.port) as way:
        await system.worker(strips_model(tmp_path / "strips.onnx"))
        settings.write_text(
            f'[edge]\ngateway = "{way.url}"\nsite = "shop"\nmetrics_port = 0\n[spool]\n'
            f'directory = "{tmp_path / "spool"}"\n'
            f'[[camera]]\nname = "door"\nmain = "{main}"\nsub = "{sub}"\nloop = true\nmode = "passthrough"\n'
        )
        way.rate_bytes_s = 62_500
        env = {"FISHLADDER_EDGE_TOKEN": await system.token("shop")}
        edge = await system.start("edge", "edge", "run", "--config", str(settings), env=env)
        log = keys.log(partition_of(CAMERA, stores.partitions), CAMERA)
        began_s = time.monotonic()

        async def units(count: int) -> list[LoggedUnit]:
            entries = [read_entry(*it) for it in await stores.frames.xrevrange(log, count=count)]
            return [entry for entry in entries if isinstance(entry, LoggedUnit)]

        async def arrives(width: int, within_us: int) -> bool:
            """The last second of pictures has this width, and came in time."""
            last = (await units(30))[:FPS]
            ages = [unit.stamp.received_us - unit.stamp.captured_us for unit in last]
            return len(last) == FPS and {unit.header.width for unit in last} == {width} and max(ages) < within_us

        await until(lambda: arrives(320, 1_000_000), 60, "the sub-stream comes, in time")
        print(f"sub-stream after {time.monotonic() - began_s:.1f} s")
        way.rate_bytes_s = None
        began_s = time.monotonic()
        await until(lambda: arrives(640, 1_000_000), 90, "the main stream is back")
        print(f"main stream after {time.monotonic() - began_s:.1f} s")
        began_s = time.monotonic()
        assert await edge.stop() == 0, edge.said[-3000:]
        print(f"all carried away after {time.monotonic() - began_s:.1f} s")
        ledger = await system.settled(stores, CAMERA)
        account = await system.account(stores, CAMERA)
        fates = set(account.fates.values())
        assert fates <= {Fate.INFERRED, Fate.SHED, Fate.DEFERRED}, ledger
        assert len(account.frames()) > 0.3 * ledger.captured
