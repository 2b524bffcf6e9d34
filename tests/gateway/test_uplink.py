"""The uplink from an agent's side, over real sockets into real stores."""

import time
from pathlib import Path

from support.agent_client import agent, unit
from support.gateways import gateway, logged

from fishladder.runtime.store import Stores
from fishladder.wire.entry import LoggedUnit
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Range

CAMERA = "shop-7/door"


async def test_units_and_ranges_reach_the_log_in_order_and_unchanged(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        welcome = await client.open(CAMERA)
        assert (welcome.epoch, welcome.next, welcome.committed) == (1, 1, 0)
        sent = [unit(1, seq, size=seq * 700) for seq in range(1, 51)]
        await client.send(0, *sent, fragment_bytes=4000)
        await client.declare(0, Range(epoch=1, first=51, last=60, fate=Fate.GATED))
        sent.append(unit(1, 61, size=100_000))
        await client.send(0, sent[-1])
        await client.until_logged(0, 61)
        _, *entries = await logged(stores, CAMERA)  # the first one is the start of the epoch
        units = [entry for entry in entries if isinstance(entry, LoggedUnit)]
        assert [bytes(entry.data) for entry in units] == [one.payload for one in sent]
        assert [entry.position.seq for entry in entries] == [*range(1, 51), 60, 61]
        assert all(entry.stamp.captured_us == one.wall_us for entry, one in zip(units, sent, strict=True))
        assert all(entry.stamp.captured_us <= entry.stamp.received_us <= entry.stamp.written_us for entry in units)
        assert abs(units[-1].stamp.written_us - time.time_ns() // 1000) < 10_000_000
