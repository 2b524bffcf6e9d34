"""The uplink goes away, the agent dies, and both come back, over the whole system of real processes: what waited
follows, and every frame that was captured is inferred once.
"""

from pathlib import Path

from support.fleet import Part, fleet, until
from support.link import Cut, link
from support.models import strips_model

from fishladder.wire.fates import Fate

CAMERA = "shop/door"


async def test_an_agent_killed_in_an_outage_loses_nothing_it_had(tmp_path: Path) -> None:
    """kill -9 while the link is away for longer than the ring waits: the same epoch goes on, and all of it follows."""
    model = strips_model(tmp_path / "strips.onnx")
    async with fleet(tmp_path) as (system, stores), link(system.port) as way:
        await system.worker(model)
        token = await system.token("shop")

        async def agent() -> Part:
            return await system.edge("shop", {"door": "test:160x96@10"}, gateway=way.url, token=token)

        async def inferred(least: int) -> bool:
            return (await system.ledger(stores, CAMERA)).fates.get(Fate.INFERRED, 0) > least

        async def spooled() -> bool:
            return sum(it.stat().st_size for it in (tmp_path / "spool").rglob("door.sqlite*")) > 100_000

        edge = await agent()
        await until(lambda: inferred(20), 60, "results come")
        way.cut(Cut.SILENT)
        await until(spooled, 60, "the spool fills")
        edge.kill()
        await edge.ended()
        way.cut(Cut.NONE)
        before = (await system.ledger(stores, CAMERA)).fates[Fate.INFERRED]
        edge = await agent()
        await until(lambda: inferred(before + 40), 60, "results come again")

        async def drained() -> bool:
            ledger = await system.ledger(stores, CAMERA)
            return not ledger.deferred and ledger.pending < 20

        await until(drained, 60, "the spool is drained")
        assert await edge.stop() == 0, edge.said[-3000:]
        ledger = await system.settled(stores, CAMERA, before + 40)
        assert set(ledger.fates) == {Fate.INFERRED}, ledger
        account = await system.account(stores, CAMERA)
        assert len(account.fates) == ledger.captured
        assert {epoch for epoch, _ in account.fates} == {1}
