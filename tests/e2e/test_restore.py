"""The state store restored from a backup: what was committed since, and forgotten by its agent, is declared lost; the
account closes, and whatever the agent still has is inferred again.
"""

import json
import shutil
from pathlib import Path

from support.fleet import fleet, until
from support.models import strips_model

from fishladder.wire.fates import Fate


async def test_a_state_store_restored_from_a_backup(tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    held, backup = tmp_path / "data" / "state", tmp_path / "backup"
    async with fleet(tmp_path) as (system, stores):

        async def settles(least: int) -> None:
            async def enough() -> bool:
                return (await system.ledger(stores, "shop/door")).settled >= least

            await until(enough, 60, f"{least} frames are settled")

        await system.worker(model, "--lease-ms", "1000")
        edge = await system.edge("shop", {"door": "test:160x96@15"})
        await settles(30)
        shutil.copytree(held, backup)
        at_backup = (await system.ledger(stores, "shop/door")).settled
        await settles(at_backup + 60)
        assert await system.parts[0].stop() == 0, system.parts[0].said
        shutil.rmtree(held)
        shutil.copytree(backup, held)
        await system.gateway()
        await settles(at_backup + 120)
        assert await edge.stop() == 0, edge.said
        ledger = await system.settled(stores, "shop/door")
        assert set(ledger.fates) == {Fate.INFERRED, Fate.STATE_LOST}
        assert ledger.fates[Fate.STATE_LOST] >= 30
        assert "the gateway's store went back" in edge.said

        status, out, err = await system.run("ledger", "--audit", "--json", "--data-dir", str(tmp_path / "data"))
        assert status == 0, err
        [camera] = json.loads(out)["cameras"]
        assert camera["findings"] == []
        assert camera["captured"] == sum(camera["reasons"].values())
