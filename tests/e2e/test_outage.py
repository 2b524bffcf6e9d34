"""The uplink goes away and comes back, over the whole system: live goes on at once, what waited follows, and every
frame that was captured is inferred once.
"""

import time
from pathlib import Path

import pytest
from support.fleet import fleet, until
from support.link import Cut, link
from support.models import strips_model

from fishladder.wire.fates import Fate

CAMERA = "shop/door"


@pytest.mark.parametrize("how", [Cut.SILENT, Cut.RESET])
async def test_what_an_outage_held_up_is_inferred_afterwards(tmp_path: Path, how: Cut) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    async with fleet(tmp_path) as (system, stores), link(system.port) as way:
        await system.worker(model)
        edge = await system.edge("shop", {"door": "test:160x96@10"}, gateway=way.url)

        async def inferred(least: int) -> bool:
            return (await system.ledger(stores, CAMERA)).fates.get(Fate.INFERRED, 0) > least

        await until(lambda: inferred(20), 60, "results come")
        way.cut(how)
        began = time.monotonic()
        spool = next((tmp_path / "spool").rglob("door.sqlite*"))

        async def written() -> bool:
            return sum(it.stat().st_size for it in spool.parent.glob("door.sqlite*")) > 150_000

        await until(written, 60, "the spool fills")
        way.cut(Cut.NONE)
        print(f"the link was away for {time.monotonic() - began:.1f} s")
        before = (await system.ledger(stores, CAMERA)).fates[Fate.INFERRED]
        await until(lambda: inferred(before + 50), 60, "results come again")

        async def drained() -> bool:
            return not (await system.ledger(stores, CAMERA)).deferred

        await until(drained, 60, "the spool is drained")
        assert await edge.stop() == 0, edge.said[-3000:]
        ledger = await system.settled(stores, CAMERA, before + 50)
        assert set(ledger.fates) == {Fate.INFERRED}, ledger
        account = await system.account(stores, CAMERA)
        assert len(account.fates) == ledger.captured
        assert {epoch for epoch, _ in account.fates} == {1}
