"""Spools that cannot take everything, over the whole system of real processes: what is kept and what is given up
follows the settings, and the account closes.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.fleet import Account, Fleet, fleet, free_port, until
from support.link import Cut, link
from support.models import strips_model

from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.fates import Fate

CAMERA = "shop/door"
SOURCE = "test:1280x720@15"


async def inferred(system: Fleet, stores: Stores, least: int) -> bool:
    return (await system.ledger(stores, CAMERA)).fates.get(Fate.INFERRED, 0) > least


async def ends_well(system: Fleet, stores: Stores) -> Account:
    """Live results come again, the spool is drained, the agent ends and its account closes."""
    edge = next(part for part in system.parts if part.name == "edge")
    before = (await system.ledger(stores, CAMERA)).fates[Fate.INFERRED]
    await until(lambda: inferred(system, stores, before + 20), 60, "results come again")

    async def drained() -> bool:
        ledger = await system.ledger(stores, CAMERA)
        return not ledger.deferred and ledger.pending < 20

    await until(drained, 60, "the spool is drained")
    assert await edge.stop() == 0, edge.said[-3000:]
    ledger = await system.settled(stores, CAMERA)
    assert set(ledger.fates) == {Fate.INFERRED, Fate.SPOOL_FULL}, ledger
    return await system.account(stores, CAMERA)


def followed(account: Account) -> list[int]:
    """The seqs that came out of the spool and were inferred."""
    return sorted(frame.seq for one in account.results if one.lane == keys.BACKFILL for frame in one.frames)


def given_up(account: Account) -> list[int]:
    return sorted(seq for (_, seq), fate in account.fates.items() if fate is Fate.SPOOL_FULL)


@pytest.mark.parametrize("policy", ["refuse_new", "delete_oldest"])
async def test_what_a_full_spool_keeps_is_the_operators_choice(policy: str, tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    settings = tmp_path / "edge.toml"
    settings.write_text(f'ring_bytes = {1 << 20}\n[spool]\nbytes = {1 << 20}\npolicy = "{policy}"\n')
    port = free_port()
    async with fleet(tmp_path) as (system, stores), link(system.port) as way:
        await system.worker(model)
        flags = ("--config", str(settings), "--bitrate-kbps", "8000", "--metrics-port", str(port))
        await system.edge("shop", {"door": SOURCE}, *flags, gateway=way.url)
        await until(lambda: inferred(system, stores, 20), 60, "results come")
        way.cut(Cut.SILENT)
        before = await encoded_bytes(port)

        async def more_than_both_hold() -> bool:
            return await encoded_bytes(port) > before + (3 << 20)

        await until(more_than_both_hold, 120, "more is captured than ring and spool hold")
        way.cut(Cut.NONE)
        account = await ends_well(system, stores)
    first_kept, first_given_up = followed(account)[0], given_up(account)[0]
    assert (first_kept < first_given_up) == (policy == "refuse_new")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 4 MB, which a stranger fills."""
    place = tmp_path / "spool" / "shop"
    place.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


async def test_a_disk_that_others_fill_stops_nothing_and_loses_what_memory_cannot_hold(
    small_disk: Path, tmp_path: Path
) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    settings = tmp_path / "edge.toml"
    settings.write_text(f"ring_bytes = {1 << 20}\n")
    port = free_port()
    async with fleet(tmp_path) as (system, stores), link(system.port) as way:
        await system.worker(model)
        flags = ("--config", str(settings), "--bitrate-kbps", "8000", "--metrics-port", str(port))
        edge = await system.edge("shop", {"door": SOURCE}, *flags, "--spool-dir", str(small_disk), gateway=way.url)
        await until(lambda: inferred(system, stores, 20), 60, "results come")
        with (small_disk / "strangers").open("wb") as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(4096))
                filler.flush()
        way.cut(Cut.SILENT)
        before = await encoded_bytes(port)

        async def more_than_memory_holds() -> bool:
            return await encoded_bytes(port) > before + (2 << 20)

        await until(more_than_memory_holds, 120, "more is captured than the ring holds")
        assert "the spool does not work" in edge.said
        way.cut(Cut.NONE)
        account = await ends_well(system, stores)
        assert given_up(account)
        assert "Traceback" not in edge.said


async def encoded_bytes(port: int) -> float:
    """Of the agent, since it began."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    return sum(
        it.value for family in families for it in family.samples if it.name == "fishladder_edge_unit_bytes_total"
    )
