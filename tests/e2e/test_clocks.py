"""A camera host's clock may be years off, or step: nothing is lost and latencies stay right."""

import shutil
import time
from itertools import pairwise
from pathlib import Path

import pytest
from support.fleet import Fleet, fleet, until
from support.installed import FAKETIME, needs_faketime
from support.models import strips_model

from fishladder.runtime.store import Stores
from fishladder.wire.fates import Fate

pytestmark = needs_faketime

#: A wrong clock shows as hours or years; the rest is a busy test machine.
TOLERANCE_US = 2_000_000


def lying(place: Path, offset: str) -> dict[str, str]:
    """An environment in which the wall clock is wrong by what the file says, re-read at every look."""
    (place / "faketime").write_text(offset + "\n")
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(place / "faketime"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


async def agent(system: Fleet, token: str, env: dict[str, str]) -> None:
    command = ("edge", "run", "--gateway", system.url, "--site", "shop", "--metrics-port", "0")
    await system.start("edge", *command, "--camera", "door=test:160x96@15", env={**env, "FISHLADDER_EDGE_TOKEN": token})


@pytest.mark.parametrize("offset", ["+366d", "-20000d"], ids=["a year ahead", "about 1971"])
async def test_a_wrong_clock_changes_nothing(offset: str, tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    async with fleet(tmp_path) as (system, stores):
        await system.worker(model)
        await agent(system, await system.token("shop"), lying(tmp_path, offset))
        await settle(system, stores, 60)
        await check(system, stores)


async def test_a_clock_that_steps_back_an_hour(tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    async with fleet(tmp_path) as (system, stores):
        await system.worker(model)
        env = lying(tmp_path, "+0")
        await agent(system, await system.token("shop"), env)
        await settle(system, stores, 30)
        replacement = tmp_path / "next"
        replacement.write_text("-1h\n")
        shutil.move(replacement, tmp_path / "faketime")
        await settle(system, stores, 90)
        await check(system, stores)


async def settle(system: Fleet, stores: Stores, least: int) -> None:
    async def enough() -> bool:
        return (await system.ledger(stores, "shop/door")).settled >= least

    await until(enough, 60, f"{least} frames are settled")


async def check(system: Fleet, stores: Stores) -> None:
    """Everything was inferred, and every capture time lies where it must: in order, and just before its commit."""
    edge = next(part for part in system.parts if part.name == "edge")
    assert await edge.stop() == 0, edge.said
    ledger = await system.settled(stores, "shop/door")
    assert set(ledger.fates) == {Fate.INFERRED}
    account = await system.account(stores, "shop/door")
    captured = [frame.captured_us for one in account.results for frame in one.frames]
    now_us = time.time_ns() // 1000
    assert all(now_us - 120_000_000 < us < now_us for us in captured)
    steps = [after - before for before, after in pairwise(captured)]
    assert all(-TOLERANCE_US < step < TOLERANCE_US for step in steps)
