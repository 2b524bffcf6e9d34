"""The store's master dies and Sentinel makes the replica master: the system goes on, and the ledger closes."""

from pathlib import Path

from support.fleet import Fleet, until
from support.models import strips_model
from support.replicated import replicated

from fishladder.runtime.store import StoreUrls, open_stores
from fishladder.wire import keys
from fishladder.wire.ids import partition_of


async def test_a_failover_loses_no_accounting(tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    camera = "shop/door"
    async with replicated() as servers:
        system = Fleet(tmp_path)
        try:
            stores_at = ("--redis", servers.url, "--frames", servers.url)
            await system.gateway(*stores_at)
            await system.worker(model, *stores_at)
            agent = await system.edge("shop", {"door": "test:"}, "--fps", "5")

            async def results(more_than: int = 0) -> int:
                async with open_stores(StoreUrls(servers.url, servers.url)) as stores:
                    stream = keys.results(partition_of(camera, stores.partitions), camera)
                    return int(await stores.state.xlen(stream)) > more_than

            await until(lambda: results(10), 60, "results before the fail-over")
            servers.master.process.kill()
            await servers.failed_over()
            async with open_stores(StoreUrls(servers.url, servers.url)) as stores:
                before = (await system.ledger(stores, camera)).captured

                async def goes_on() -> bool:
                    return (await system.ledger(stores, camera)).group("inferred") > before + 10

                await until(goes_on, 60, "results after the fail-over")
                assert await agent.stop() == 0, agent.said[-2000:]
                ledger = await system.settled(stores, camera, captured=before + 10)
            # What the replica had not heard of is sent again; what the agent has forgotten by then is `state_lost`.
            assert {fate.label for fate in ledger.fates} <= {"inferred", "sampled_out", "state_lost"}, ledger
        except BaseException:
            for part in system.parts:
                print(f"--- {part.log.name}\n{part.said[-4000:]}")
            raise
        finally:
            for part in reversed(system.parts):
                if part.process.returncode is None:
                    part.process.terminate()
                    await part.ended(15)
