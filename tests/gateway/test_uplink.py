"""The uplink from an agent's side, over real sockets into real stores."""

import asyncio
import time
from pathlib import Path

import msgspec
from support.agent_client import agent, unit
from support.gateways import gateway, ledger, logged, settle
from support.stores import wait_until

from fishladder.gateway.credit import FIRST_BYTES
from fishladder.runtime import commits, wanted
from fishladder.runtime.store import Stores
from fishladder.wire import keys, reports
from fishladder.wire.entry import EpochStart, LoggedUnit
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position, partition_of
from fishladder.wire.messages import (
    Asked,
    CameraHello,
    CameraReport,
    Control,
    Credit,
    Drain,
    Fenced,
    Policy,
    Positions,
    Probe,
    Probed,
    encode,
)
from fishladder.wire.unit import Flag, Range

CAMERA = "shop-7/door"
YEAR_US = 365 * 86_400 * 1_000_000


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


async def test_committed_comes_back_and_the_ledger_closes(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open(CAMERA)
        await client.declare(0, Range(epoch=1, first=1, last=3, fate=Fate.SAMPLED_OUT))
        await client.send(0, *(unit(1, seq) for seq in range(4, 11)))
        await client.socket.send_str(encode(Positions([(0, 12)])))
        await client.until_logged(0, 10)
        await settle(stores, CAMERA)
        await wait_until(lambda: client.committed[0] == 10)

        async def told() -> bool:
            return (await ledger(stores, CAMERA)).captured == 12

        await wait_until(told)
        found = await ledger(stores, CAMERA)
        assert found.closes
        assert (found.fates, found.pending) == ({Fate.INFERRED: 7, Fate.SAMPLED_OUT: 3}, 2)


async def test_a_commit_whose_message_was_lost_is_noticed(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open(CAMERA)
        await client.send(0, *(unit(1, seq) for seq in range(1, 6)))
        await client.until_logged(0, 5)
        partition = partition_of(CAMERA, stores.partitions)
        await stores.state.hset(keys.cursor(partition, CAMERA), commits.cursor_field(), "1-4")
        await wait_until(lambda: client.committed[0] == 4)


async def test_credit_comes_with_the_first_open_camera_and_grows_with_use(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        assert (await client.hello(CameraHello("shop-8/door", 0))).refused
        await client.socket.send_str(encode(Probe(1)))
        await client.hear(Probed)
        assert not client.all(Credit)
        await client.open(CAMERA, 1)
        first = (await client.hear(Credit)).bytes
        assert first == FIRST_BYTES
        for seq in range(1, 10):
            await client.send(1, unit(1, seq, size=100_000))
            await client.until_logged(1, seq)
        await client.hear(Credit, lambda credit: credit.bytes - client.sent_bytes > first)


async def test_many_cameras_on_one_connection_keep_to_themselves(stores: Stores, tmp_path: Path) -> None:
    names = [f"shop-7/cam{index}" for index in range(20)]
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        welcome = await client.hello(*(CameraHello(name, index) for index, name in enumerate(names)))
        assert len(welcome.cameras) == len(names)
        for seq in range(1, 11):
            for index in range(len(names)):
                await client.send(index, unit(1, seq, size=100 + index))
        for index in range(len(names)):
            await client.until_logged(index, 10)
        for index, name in enumerate(names):
            sizes = {len(entry.data) for entry in await logged(stores, name) if isinstance(entry, LoggedUnit)}
            assert sizes == {len(unit(1, 1, size=100 + index).payload)} | {len(unit(1, 10, size=100 + index).payload)}


async def test_after_a_broken_connection_the_agent_goes_on_where_the_log_ended(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        async with agent(it.url, it.token("shop-7")) as client:
            await client.open(CAMERA)
            await client.send(0, *(unit(1, seq) for seq in range(1, 8)))
            await client.until_logged(0, 7)
        async with agent(it.url, it.token("shop-7"), hellos=1) as client:
            welcome = await client.open(CAMERA, epoch=1, position=12)
            assert (welcome.epoch, welcome.next) == (1, 8)
            await client.send(0, *(unit(1, seq) for seq in range(8, 13)))
            await client.until_logged(0, 12)
        assert [entry.position.seq for entry in await logged(stores, CAMERA)] == list(range(13))


async def test_what_was_sent_before_is_answered_and_not_logged_twice(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open(CAMERA)
        await client.send(0, *(unit(1, seq) for seq in range(1, 6)))
        await client.until_logged(0, 5)
        await client.send(0, unit(1, 2), unit(1, 5), unit(1, 6))
        await client.declare(0, Range(epoch=1, first=4, last=9, fate=Fate.SHED))
        await client.until_logged(0, 9)
        entries = await logged(stores, CAMERA)
        assert [entry.position.seq for entry in entries] == [0, 1, 2, 3, 4, 5, 6, 9]
        assert isinstance(entries[-1], Range)
        assert entries[-1].first == 7


async def test_an_agent_without_memory_gets_a_new_epoch_and_the_old_one_is_closed(
    stores: Stores, tmp_path: Path
) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        async with agent(it.url, it.token("shop-7"), boot="first") as client:
            await client.open(CAMERA)
            await client.send(0, *(unit(1, seq) for seq in range(1, 6)))
            await client.socket.send_str(encode(Positions([(0, 9)])))
            await client.until_logged(0, 5)
            partition = partition_of(CAMERA, stores.partitions)

            async def recorded() -> bool:
                return await stores.state.hget(keys.camera(partition, CAMERA), "position") == b"9"

            await wait_until(recorded)
        async with agent(it.url, it.token("shop-7"), boot="second") as client:
            welcome = await client.open(CAMERA)
            assert (welcome.epoch, welcome.next) == (2, 1)
            await client.send(0, unit(2, 1))
            await client.until_logged(0, 1)
        *_, lost, start, last = await logged(stores, CAMERA)
        assert isinstance(lost, Range)
        assert (lost.first, lost.last, lost.fate) == (6, 9, Fate.SPOOL_LOST)
        assert start == EpochStart(2, Position(1, 9))
        assert last.position == Position(2, 1)
        await settle(stores, CAMERA)
        assert (await ledger(stores, CAMERA)).closes


async def test_two_senders_of_one_camera_the_earlier_is_fenced(stores: Stores, tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, stores.urls) as it,
        agent(it.url, it.token("shop-7"), boot="old") as old,
        agent(it.url, it.token("shop-7"), boot="new") as new,
    ):
        await old.open(CAMERA)
        await old.open("shop-7/yard", 1)
        await old.send(0, unit(1, 1))
        await old.until_logged(0, 1)
        assert (await new.open(CAMERA)).epoch == 2
        assert (await old.hear(Fenced)).channel == 0
        await old.send(0, unit(1, 2))  # on its way before it knew
        await old.send(1, unit(1, 1))
        await old.until_logged(1, 1)
        await new.send(0, unit(2, 1))
        await new.until_logged(0, 1)
        again = await old.hello(CameraHello(CAMERA, 0, epoch=1, position=2))
        assert [refusal.code for refusal in again.refused] == ["superseded"]
        assert [entry.position for entry in await logged(stores, CAMERA)][-1] == Position(2, 1)


async def test_two_gateways_the_earlier_connection_is_fenced_by_the_log(stores: Stores, tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, stores.urls) as first,
        gateway(tmp_path, stores.urls) as second,
        agent(first.url, first.token("shop-7")) as stale,
        agent(second.url, second.token("shop-7"), hellos=1) as fresh,
    ):
        await stale.open(CAMERA)
        await stale.send(0, unit(1, 1))
        await stale.until_logged(0, 1)
        assert (await fresh.open(CAMERA, epoch=1, position=1)).next == 2
        await stale.send(0, unit(1, 2))
        await stale.hear(Fenced)
        await fresh.send(0, unit(1, 2), unit(1, 3))
        await fresh.until_logged(0, 3)


async def test_clocks_that_are_wrong_lose_nothing(stores: Stores, tmp_path: Path) -> None:
    now_us = time.time_ns() // 1000
    times = [now_us + YEAR_US, now_us - 3_600_000_000, -YEAR_US, 2**63 - 1, now_us]
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open(CAMERA)
        for seq, captured_us in enumerate(times, 1):
            await client.send(0, unit(1, seq, captured_us=captured_us))
        await client.until_logged(0, len(times))
        units = [entry for entry in await logged(stores, CAMERA) if isinstance(entry, LoggedUnit)]
        restamped = [bool(entry.header.flags & Flag.RESTAMPED) for entry in units]
        assert restamped == [True, False, True, True, False]
        for entry, captured_us, replaced in zip(units, times, restamped, strict=True):
            assert entry.stamp.captured_us == (entry.stamp.received_us if replaced else captured_us)
            assert abs(entry.stamp.received_us - now_us) < 20_000_000
            assert bytes(entry.data) == unit(1, entry.header.seq).payload


async def test_probes_positions_and_wishes_for_keyframes(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open(CAMERA)
        before_us = time.time_ns() // 1000
        await client.socket.send_str(encode(Probe(12345)))
        probed = await client.hear(Probed)
        assert probed.sent_us == 12345
        assert before_us <= probed.received_us <= probed.replied_us <= time.time_ns() // 1000
        partition = partition_of(CAMERA, stores.partitions)

        async def asked() -> bool:
            await stores.state.publish(keys.control(partition), b'{"camera":"shop-7/door","keyframe":true}')
            return bool(client.all(Control))

        await wait_until(asked)
        assert client.all(Control)[0] == Control(0, keyframe=True)


async def test_the_policy_is_the_cameras_own_or_the_gateways(stores: Stores, tmp_path: Path) -> None:
    partition = partition_of("shop-7/yard", stores.partitions)
    await wanted.set_policy(stores.state, partition, "shop-7/yard", Policy(fps=0.5, weight=3))
    async with gateway(tmp_path, stores.urls, fps=4) as it, agent(it.url, it.token("shop-7")) as client:
        assert (await client.open(CAMERA)).policy == Policy(fps=4)
        assert (await client.open("shop-7/yard", 1)).policy == Policy(fps=0.5, weight=3)
        stored = await stores.state.hget(keys.camera(partition_of(CAMERA, stores.partitions), CAMERA), "policy")
        assert stored is not None
        assert msgspec.json.decode(stored, type=Policy) == Policy(fps=4)


async def test_a_policy_set_while_a_camera_runs_reaches_its_agent_at_once(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open(CAMERA)

        async def told() -> bool:
            await wanted.set_policy(stores.state, partition_of(CAMERA, stores.partitions), CAMERA, Policy(fps=3))
            return bool(client.all(Control))

        await wait_until(told)
        assert client.all(Control)[0] == Control(0, policy=Policy(fps=3))


async def test_draining_agents_are_told_and_what_they_sent_is_logged(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open(CAMERA)
        await client.send(0, *(unit(1, seq) for seq in range(1, 31)))
        it.stopping.set()
        await client.hear(Drain)
        await client.socket.close()
        await asyncio.wait_for(it.task, 10)
        assert (await logged(stores, CAMERA))[-1].position.seq == 30


async def test_what_the_stack_asks_within_the_policy_reaches_the_agent_and_is_remembered(
    stores: Stores, tmp_path: Path
) -> None:
    partition = partition_of(CAMERA, stores.partitions)
    async with gateway(tmp_path, stores.urls, fps=5) as it:
        async with agent(it.url, it.token("shop-7")) as client:
            await client.open(CAMERA)
            await wanted.set_asked(stores.state, partition, {CAMERA: Asked(2, "workers")})
            told = await client.hear(Control, lambda said: said.policy is not None)
            assert told.policy == Policy(fps=2)
            await wanted.set_policy(stores.state, partition, CAMERA, Policy(fps=1, pause=True))
            await client.hear(Control, lambda said: said.policy == Policy(fps=1, pause=True))
            # Nobody told of this one: it is found.
            await stores.state.hset(keys.camera(partition, CAMERA), "policy", msgspec.json.encode(Policy(fps=4)))
            await wait_until(lambda: client.all(Control)[-1].policy == Policy(fps=2), 30, "what was not heard is found")
            report = CameraReport(0, "encode", fps=2.0)
            await client.socket.send_str(encode(Positions([(0, 0)], reports=[report])))

            async def written() -> bool:
                raw = await stores.state.hget(keys.camera(partition, CAMERA), "reported")
                found = reports.read(reports.Reported, raw)
                return found is not None and found.does == report and found.at_ms > 0

            await wait_until(written, what="what the agent says is in the store")
        async with agent(it.url, it.token("shop-7"), boot="boot-2") as client:
            assert (await client.open(CAMERA)).policy == Policy(fps=2)
            await wanted.set_asked(stores.state, partition, {CAMERA: Asked()})
            await client.hear(Control, lambda said: said.policy == Policy(fps=4))
