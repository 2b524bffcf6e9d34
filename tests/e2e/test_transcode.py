"""A camera that is passed on, 3 Mbit/s with keyframes 10 s apart, over an uplink for a tenth of that: encoded anew its
pictures come in time and are inferred, where its own stream would be a keyframe now and then; every unit has a fate,
and when the link is back it is passed on again.
"""

import time
from pathlib import Path

import av
from support.clips import scene
from support.fleet import fleet, until
from support.link import link
from support.models import strips_model

from fishladder.wire import keys
from fishladder.wire.entry import LoggedUnit, read_entry
from fishladder.wire.fates import Fate
from fishladder.wire.ids import partition_of

CAMERA = "shop/door"
FPS, SECONDS = 10, 10


def clip(file: Path) -> Path:
    """One group of pictures, at a constant 3 Mbit/s; it is played in a loop."""
    with av.open(str(file), "w") as out:
        options = {"preset": "ultrafast", "bf": "0", "x264-params": "nal-hrd=cbr:scenecut=0:keyint=infinite"}
        stream = out.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        context = stream.codec_context
        context.gop_size, context.bit_rate = FPS * SECONDS, 3_000_000
        context.options |= {"maxrate": "3000000", "bufsize": "1500000"}
        for index in range(FPS * SECONDS):
            frame = scene(index, 640, 360)
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file


async def test_pictures_come_and_are_inferred_where_the_cameras_own_stream_is_far_too_much(tmp_path: Path) -> None:
    main = clip(tmp_path / "main.mp4")
    settings = tmp_path / "edge.toml"
    async with fleet(tmp_path) as (system, stores), link(system.port) as way:
        await system.worker(strips_model(tmp_path / "strips.onnx"))
        settings.write_text(
            f'[edge]\ngateway = "{way.url}"\nsite = "shop"\nmetrics_port = 0\n[spool]\n'
            f'directory = "{tmp_path / "spool"}"\n'
            f'[[camera]]\nname = "door"\nsource = "{main}"\nloop = true\nmode = "passthrough"\ntranscode = true\n'
        )
        env = {"FISHLADDER_EDGE_TOKEN": await system.token("shop")}
        edge = await system.start("edge", "edge", "run", "--config", str(settings), env=env)
        log = keys.log(partition_of(CAMERA, stores.partitions), CAMERA)

        async def last_units(seconds: float) -> list[LoggedUnit]:
            entries = [read_entry(*it) for it in await stores.frames.xrevrange(log, count=200)]
            units = [entry for entry in entries if isinstance(entry, LoggedUnit)]
            newest_us = units[0].stamp.captured_us if units else 0
            return [it for it in units if it.stamp.captured_us > newest_us - seconds * 1e6]

        async def in_time(least: int, payload_bytes: tuple[int, int]) -> bool:
            """The last five seconds have so many pictures, of such a size in the mean, and they came in time."""
            units = await last_units(5.0)
            ages = [unit.stamp.received_us - unit.stamp.captured_us for unit in units]
            mean = sum(len(it.data) for it in units) / max(len(units), 1)
            return len(units) >= least and max(ages) < 1_000_000 and payload_bytes[0] <= mean < payload_bytes[1]

        await until(lambda: in_time(20, (20_000, 10**9)), 60, "its own stream comes over a link that has room")
        way.rate_bytes_s = 37_500
        began_s = time.monotonic()
        await until(lambda: in_time(20, (0, 9_000)), 90, "pictures encoded anew come, in time")
        print(f"encoded anew after {time.monotonic() - began_s:.1f} s")
        way.rate_bytes_s = None
        began_s = time.monotonic()
        await until(lambda: in_time(45, (20_000, 10**9)), 120, "its own stream is back")
        print(f"passed on again after {time.monotonic() - began_s:.1f} s")
        assert await edge.stop() == 0, edge.said[-3000:]
        ledger = await system.settled(stores, CAMERA)
        account = await system.account(stores, CAMERA)
        assert set(account.fates.values()) <= {Fate.INFERRED, Fate.SHED, Fate.DEFERRED}, ledger
        assert ledger.fates[Fate.INFERRED] > 0.7 * ledger.captured, ledger
