"""A camera on an uplink far too thin for what it would send: it sends less, in time, and nothing is lost unsaid."""

from pathlib import Path

from support.fleet import fleet, until
from support.link import link
from support.models import strips_model

from fishladder.wire import keys
from fishladder.wire.entry import LoggedUnit, read_entry
from fishladder.wire.ids import partition_of

CAMERA = "shop/door"


async def test_a_camera_finds_what_a_thin_link_carries(tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    async with fleet(tmp_path) as (system, stores), link(system.port) as way:
        way.rate_bytes_s = 15_000
        edge = await system.edge("shop", {"door": "test:1280x720@15"}, "--bitrate-kbps", "3000", gateway=way.url)
        log = keys.log(partition_of(CAMERA, stores.partitions), CAMERA)

        async def in_time() -> bool:
            """The last 30 pictures each took less than a second."""
            entries = [read_entry(*it) for it in await stores.frames.xrevrange(log, count=60)]
            units = [entry for entry in entries if isinstance(entry, LoggedUnit)][:30]
            ages = [unit.stamp.received_us - unit.stamp.captured_us for unit in units]
            return len(ages) == 30 and max(ages) < 1_000_000

        await until(in_time, 90, "pictures come in time over the thin link")
        way.rate_bytes_s = None
        await system.worker(model)
        assert await edge.stop() == 0, edge.said[-3000:]
        await system.settled(stores, CAMERA)
