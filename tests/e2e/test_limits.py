"""What a site's operator lets the agent have of the uplink: it keeps to it, another limit holds after a reload, and
everybody who looks is told.
"""

import asyncio
import os
import signal
from pathlib import Path

from support.fleet import fleet, until
from support.link import link
from support.models import strips_model

from fishladder.wire import keys
from fishladder.wire.entry import LoggedUnit, read_entry
from fishladder.wire.ids import partition_of

CAMERA = "shop/door"
EDGE = """
[edge]
gateway = "{gateway}"
site = "shop"
metrics_port = 0
bitrate_kbps = 3000
[spool]
directory = "{spool}"
[limits]
timezone = "UTC"
{limits}
[[camera]]
name = "door"
source = "test:1280x720@15"
"""


async def test_an_agent_keeps_to_its_operators_limits_and_says_so(tmp_path: Path) -> None:
    model, toml = strips_model(tmp_path / "strips.onnx"), tmp_path / "edge.toml"
    async with fleet(tmp_path) as (system, stores), link(system.port) as way:

        def limit(lines: str) -> None:
            toml.write_text(EDGE.format(gateway=way.url, spool=tmp_path / "spool", limits=lines))

        limit('max_up = "8M"\nmonthly_gb = 500\n[[limits.schedule]]\nmax_up = "300 kbit/s"')
        system.environment = {"FISHLADDER_EDGE_TOKEN": await system.token("shop")}
        edge = await system.start("edge", "edge", "run", "--config", str(toml))
        log = keys.log(partition_of(CAMERA, stores.partitions), CAMERA)

        async def in_time() -> bool:
            """The last 30 pictures each took less than a second."""
            entries = [read_entry(*it) for it in await stores.frames.xrevrange(log, count=60)]
            units = [entry for entry in entries if isinstance(entry, LoggedUnit)][:30]
            return len(units) == 30 and all(it.stamp.received_us - it.stamp.captured_us < 1e6 for it in units)

        await until(in_time, 60, "pictures come in time within the limit")
        clock = asyncio.get_running_loop().time
        before, began_s = way.carried_bytes, clock()
        await asyncio.sleep(4)  # what is measured is what is carried in a time
        carried_bps = (way.carried_bytes - before) * 8 / (clock() - began_s)
        assert carried_bps < 310_000
        _, shown, _ = await system.run("status", "shop", "--data-dir", str(tmp_path / "data"))
        shown = " ".join(shown.split())
        assert "limited by the schedule: 300 kbit/s" in shown
        assert "of the month's 500.0 GB" in shown

        limit("")
        os.kill(edge.process.pid, signal.SIGHUP)

        async def more() -> bool:
            before, began_s = way.carried_bytes, clock()
            await asyncio.sleep(1)
            return (way.carried_bytes - before) * 8 / (clock() - began_s) > 600_000

        await until(more, 60, "more is sent without the limit")
        limit('monthly_gb = 500\nmax_up = "2 Mbit/s"')
        await system.worker(model)
        assert await edge.stop() == 0, edge.said[-3000:]
        await system.settled(stores, CAMERA)
        _, said, err = await system.run("edge", "check", "--config", str(toml))
        assert "ok   limits: max_up: 2 Mbit/s" in said, said + err
        assert "month: 0.00" in said, said
        assert "of 500 GB used since" in said
