"""Deferred seqs and their backfill from an agent's side, over real sockets into real stores."""

import secrets
from pathlib import Path

from support.agent_client import agent, unit
from support.gateways import gateway, ledger, settle
from support.stores import wait_until

from fishladder.runtime import commits, leases
from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.entry import LoggedUnit, read_entry
from fishladder.wire.fates import Fate, Run
from fishladder.wire.framing import fragments, range_message
from fishladder.wire.ids import ORIGIN, partition_of
from fishladder.wire.messages import CameraHello, Fenced, Open, Welcome
from fishladder.wire.unit import Flag, Range, Unit

CAMERA = "shop-7/door"
DEFERRED = Range(epoch=1, first=1, last=20, fate=Fate.DEFERRED)


async def filled(stores: Stores) -> list[str]:
    """The backfill lane in short: 5 a unit, (5) context, 5-9 a range."""
    said = []
    for entry_id, fields in await stores.frames.xrange(keys.backfill(partition_of(CAMERA, stores.partitions), CAMERA)):
        entry = read_entry(entry_id, fields)
        if isinstance(entry, LoggedUnit):
            seq = entry.position.seq
            said.append(f"({seq})" if entry.header.flags & Flag.CONTEXT else str(seq))
        elif isinstance(entry, Range):
            said.append(f"{entry.first}-{entry.last} {entry.fate.label}")
    return said


def backfill(*what: Unit | Range) -> list[bytes]:
    """Messages of the backfill lane, on channel 0."""
    messages: list[bytes] = []
    for it in what:
        if isinstance(it, Range):
            messages.append(range_message(0, it, backfill=True))
        else:
            messages += fragments(0, it.pack(), 300, backfill=True)
    return messages


async def settled(stores: Stores, *runs: Run) -> None:
    """Settle what is open, as a worker would, and say so."""
    partition, token = partition_of(CAMERA, stores.partitions), secrets.token_hex(8)
    assert await leases.acquire_lease(stores.state, partition, token, 60_000)
    kept = {"keep_bytes": 1_000_000, "keep_ms": 1_000_000}
    done = await commits.settle(stores.state, partition, CAMERA, token=token, epoch=1, runs=runs, **kept)
    assert isinstance(done, commits.Settled), done
    await leases.release_lease(stores.state, partition, token)
    await stores.state.publish(keys.control(partition), b'{"camera":"shop-7/door","settled":true}')


async def test_what_is_deferred_is_asked_for_sent_and_settled(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.hello(CameraHello(CAMERA, 0, backfill=True))
        assert (await client.hear(Open)) == Open(0, ORIGIN)
        await client.declare(0, DEFERRED)
        await client.send(0, *(unit(1, seq) for seq in range(21, 31)))
        await client.until_logged(0, 30)
        assert await settle(stores, CAMERA)
        asked = await client.hear(Open, lambda told: bool(told.ranges))
        assert (asked.ranges, asked.more) == ([(1, 1, 20)], False)

        context = unit(1, 1, flags=Flag.CONTEXT, captured_us=1)
        shed = Range(epoch=1, first=8, last=20, fate=Fate.SPOOL_FULL)
        for message in backfill(context, *(unit(1, seq) for seq in range(2, 8)), shed):
            await client.socket.send_bytes(message)

        async def all_there() -> bool:
            return len(await filled(stores)) == 8

        await wait_until(all_there)
        assert await filled(stores) == ["(1)", "2", "3", "4", "5", "6", "7", "8-20 spool_full"]
        await settled(stores, Run(Fate.SPOOL_FULL, 8, 20))
        assert (await client.hear(Open, lambda told: told.ranges == [(1, 1, 7)])).cursor == (1, 30)
        await settled(stores, Run(Fate.INFERRED, 1, 7))
        await wait_until(lambda: client.all(Open)[-1].ranges == [])
        found = await ledger(stores, CAMERA)
        assert found.closes
        assert (found.pending, found.fates) == (0, {Fate.INFERRED: 17, Fate.SPOOL_FULL: 13})


async def test_a_later_session_is_told_what_is_open_and_begins_an_empty_lane(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        async with agent(it.url, it.token("shop-7")) as client:
            await client.hello(CameraHello(CAMERA, 0, backfill=True))
            await client.declare(0, DEFERRED)
            await client.until_logged(0, 20)
            await settle(stores, CAMERA)
            for message in backfill(unit(1, 1)):
                await client.socket.send_bytes(message)

            async def there() -> bool:
                return await filled(stores) == ["1"]

            await wait_until(there)
        async with agent(it.url, it.token("shop-7"), boot="boot-2") as client:
            await client.hello(CameraHello(CAMERA, 0, epoch=1, position=20, oldest=21, backfill=True))
            assert (await client.hear(Open)) == Open(0, (1, 20), [(1, 1, 20)])
            assert await filled(stores) == []


async def test_what_a_reboot_left_on_disk_is_deferred_not_given_up(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        async with agent(it.url, it.token("shop-7")) as client:
            await client.hello(CameraHello(CAMERA, 0, position=50, backfill=True))
            await client.send(0, *(unit(1, seq) for seq in range(1, 11)))
            await client.until_logged(0, 10)
        async with agent(it.url, it.token("shop-7"), boot="boot-2") as client:
            welcome = await client.hello(CameraHello(CAMERA, 0, backfill=True, spooled=True))
            assert welcome.cameras[0].epoch == 2
            await settle(stores, CAMERA)
            asked = await client.hear(Open, lambda told: bool(told.ranges) and told.cursor[0] == 2)
            assert asked.ranges == [(1, 11, 50)]


async def test_an_agent_that_remembers_too_little_is_told_to_begin_anew(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        async with agent(it.url, it.token("shop-7")) as client:
            await client.open(CAMERA)
            await client.send(0, *(unit(1, seq) for seq in range(1, 11)))
            await client.until_logged(0, 10)
        async with agent(it.url, it.token("shop-7"), boot="restored") as client:
            welcome = await client.hello(CameraHello(CAMERA, 0, epoch=1, position=7, oldest=8, backfill=True))
            assert [(no.code, no.retry_s is not None) for no in welcome.refused] == [("superseded", True)]
        async with agent(it.url, it.token("shop-7"), boot="anew") as client:
            assert (await client.open(CAMERA, backfill=True, spooled=True)).epoch == 2


async def test_a_lost_frame_store_fences_the_backfill_too(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.hello(CameraHello(CAMERA, 0, backfill=True))
        await client.declare(0, DEFERRED)
        await client.until_logged(0, 20)
        await settle(stores, CAMERA)
        await client.hear(Open, lambda told: bool(told.ranges))
        await stores.frames.flushall()
        for message in backfill(unit(1, 1)):
            await client.socket.send_bytes(message)
        await client.hear(Fenced)


async def test_backfill_beyond_the_live_lane_or_unannounced_ends_the_connection(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        for hello, wrong in (
            (CameraHello(CAMERA, 0, backfill=True), backfill(unit(1, 5))),
            (CameraHello(CAMERA, 0, backfill=True), backfill(Range(epoch=9, first=1, last=1, fate=Fate.SHED))),
            (CameraHello(CAMERA, 0, backfill=True), backfill(DEFERRED)),
            (CameraHello(CAMERA, 0), backfill(unit(1, 1))),
        ):
            async with agent(it.url, it.token("shop-7"), boot=secrets.token_hex(4)) as client:
                await client.hello(hello)
                for message in wrong:
                    await client.socket.send_bytes(message)
                assert (await client.fault()).code == "protocol"


async def test_an_older_agent_hears_nothing_it_does_not_know(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open(CAMERA)
        await client.send(0, *(unit(1, seq) for seq in range(1, 11)))
        await client.until_logged(0, 10)
        await settle(stores, CAMERA)
        await wait_until(lambda: client.committed.get(0) == 10)
        assert client.all(Open) == []
        assert len(client.all(Welcome)) == 1
