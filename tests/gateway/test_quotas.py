"""Nobody takes more than his share: rates of cameras and sites, names of a site, and what holds for one site alone."""

import time
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.agent_client import agent, unit
from support.gateways import gateway
from support.stores import wait_until

from fishladder.gateway.limits import BURST_S, Limits, Meter, SiteLimits
from fishladder.gateway.quotas import Quotas
from fishladder.gateway.tokens import KeyFile, verify
from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.fates import Fate
from fishladder.wire.framing import fragments, range_message
from fishladder.wire.messages import CameraHello, Fenced, Hello, Positions, encode
from fishladder.wire.unit import Range


def test_a_meter_gives_its_rate_and_ten_seconds_at_once() -> None:
    it = Meter(8000, now=0.0)
    it.spend(int(1000 * BURST_S))
    assert not it.over
    it.spend(500)
    assert it.over
    assert it.wait_s == pytest.approx(0.5)
    it.refill(0.4)
    assert it.over
    it.refill(0.6)
    assert not it.over
    it.refill(1000.0)
    assert it.full


@given(st.lists(st.tuples(st.integers(0, 100_000), st.floats(0.01, 5.0)), max_size=50))
def test_over_time_no_more_than_the_rate_goes_through(sends: list[tuple[int, float]]) -> None:
    it, now, taken, largest = Meter(80_000, now=0.0), 0.0, 0, 0
    for size, pause in sends:
        if not it.over:
            it.spend(size)
            taken, largest = taken + size, max(largest, size)
        now += pause
        it.refill(now)
    assert taken <= 10_000 * (now + BURST_S) + largest


def test_a_meter_outlives_its_connection_and_is_forgotten_when_full() -> None:
    it = Quotas(Limits(camera_bps=8000, sites={"shop-7": SiteLimits(camera_bps=16_000)}), now=0.0)
    it.camera("shop-8/door").spend(10_500)
    assert it.camera("shop-8/door").over
    it.tick(1.0)
    assert not it.camera("shop-8/door").over
    assert not it.camera("shop-8/door").full
    it.tick(100.0)
    assert it.camera("shop-8/door").full
    assert it.camera("shop-7/door").bps == 16_000


def test_limits_of_one_site() -> None:
    it = Limits(unit_bytes=1000, sites={"shop-7": SiteLimits(unit_bytes=2000, connections_per_site=1)})
    assert (it.of("shop-7").unit_bytes, it.of("shop-7").connections_per_site) == (2000, 1)
    assert it.of("shop-8") is it
    assert it.of(None) is it


async def test_a_camera_over_its_rate_is_refused_until_it_is_not_and_the_other_goes_on(
    stores: Stores, tmp_path: Path
) -> None:
    limits = {"camera_bps": 80_000}
    async with gateway(tmp_path, stores.urls, limits=limits) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open("shop-7/loud")
        await client.open("shop-7/calm", 1)
        await client.send(0, *(unit(1, seq, size=10_000) for seq in range(1, 31)))
        assert "more than its 80000 bit/s" in (await client.hear(Fenced)).reason
        refused = (await client.hello(CameraHello("shop-7/loud", 0, epoch=1, position=30))).refused[0]
        assert refused.code == "limit"
        assert refused.retry_s is not None
        await client.send(1, unit(1, 1))
        await client.until_logged(1, 1)

        async def welcome() -> bool:
            return bool((await client.hello(CameraHello("shop-7/loud", 0, epoch=1, position=30))).cameras)

        await wait_until(welcome, 15)


async def test_a_site_over_its_rate_gets_no_credit_until_it_is_not(stores: Stores, tmp_path: Path) -> None:
    limits = {"site_bps": 100_000, "sites": {"shop-8": {"site_bps": 10_000_000_000}}}
    async with gateway(tmp_path, stores.urls, limits=limits) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open("shop-7/door")
        await wait_until(lambda: client.credit)
        first = client.credit
        await client.send(0, unit(1, 1, size=130_000))
        await client.until_logged(0, 1)
        assert client.credit == first
        async with agent(it.url, it.token("shop-8"), boot="boot-2") as other:
            await other.open("shop-8/door")
            await wait_until(lambda: other.credit)
            before = other.credit
            await other.send(0, unit(1, 1, size=200_000))
            await wait_until(lambda: other.credit > before)
        await client.send(0, unit(1, 2, size=100_000))
        await wait_until(lambda: client.credit > first, 20)


async def test_a_site_has_so_many_names_and_keeps_those_it_has(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls, limits={"cameras_per_site": 2}) as it:
        async with agent(it.url, it.token("shop-7")) as client:
            welcome = await client.hello(*(CameraHello(f"shop-7/cam{channel}", channel) for channel in range(5)))
            assert (len(welcome.cameras), [no.code for no in welcome.refused]) == (2, ["limit"] * 3)
            names = sorted(name.decode() for name in await stores.state.smembers(keys.site("shop-7")))
        async with agent(it.url, it.token("shop-7"), boot="boot-2") as client:
            assert (await client.open(f"shop-7/{names[0]}")).epoch == 2
        async with agent(it.url, it.token("shop-8"), boot="boot-3") as client:
            await client.open("shop-8/cam9")


async def test_a_site_has_so_many_connections(stores: Stores, tmp_path: Path) -> None:
    limits = {"sites": {"shop-7": {"connections_per_site": 1}}}
    async with gateway(tmp_path, stores.urls, limits=limits) as it, agent(it.url, it.token("shop-7", subject="one")):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with agent(it.url, it.token("shop-7", subject="two")):
                pass
        assert refused.value.status == 429
        async with agent(it.url, it.token("shop-8", subject="one")):
            pass


async def test_the_same_subject_of_two_sites_is_two(stores: Stores, tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, stores.urls, limits={"connections_per_token": 1}) as it,
        agent(it.url, it.token("shop-7", subject="agent")),
        agent(it.url, it.token("shop-8", subject="agent")),
    ):
        pass


async def test_epochs_and_seqs_nobody_can_have_come_to_are_not_believed(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        async with agent(it.url, it.token("shop-7")) as client:
            refused = (await client.hello(CameraHello("shop-7/door", 0, epoch=2**53 - 1))).refused[0]
            assert (refused.code, refused.retry_s is not None) == ("superseded", True)
            assert (await client.open("shop-7/door")).epoch == 1
            await client.socket.send_str(encode(Positions([(0, 2**53 - 1)])))
            await client.send(0, unit(1, 1))
            await client.until_logged(0, 1)
            await client.socket.send_bytes(range_message(0, Range(epoch=1, first=2, last=2**53 - 1, fate=Fate.SHED)))
            assert "further than any camera" in (await client.fault()).message
        async with agent(it.url, it.token("shop-7"), boot="boot-2") as client:
            far = CameraHello("shop-7/door", 0, epoch=1, position=2**53 - 1)
            await client.socket.send_str(encode(Hello((1, 1), "boot-2", 1, [far])))
            assert "out of range" in (await client.fault()).message
        async with agent(it.url, it.token("shop-7"), boot="boot-3") as client:
            assert (await client.open("shop-7/door")).epoch == 2


async def test_a_revoked_token_ends_its_connection(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        files = KeyFile(it.settings.keys_path)
        token, other = it.token("shop-7"), it.token("shop-8")
        async with agent(it.url, token) as client, agent(it.url, other, boot="boot-2") as stays:
            await client.open("shop-7/door")
            files.register.revoke([verify(files, token).id], time.time())
            assert (await client.fault()).code == "token"
            await stays.open("shop-8/door")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with agent(it.url, token):
                pass
        assert refused.value.status == 401


async def test_units_that_are_never_finished_hold_so_much_of_a_site(stores: Stores, tmp_path: Path) -> None:
    limits = {"unfinished_bytes_per_site": 300_000}
    begun = next(fragments(0, unit(1, 1, size=600_000).pack(), 200_000))
    async with gateway(tmp_path, stores.urls, limits=limits) as it, agent(it.url, it.token("shop-8")) as other:
        await other.open("shop-8/door")
        async with agent(it.url, it.token("shop-7"), boot="one") as one:
            await one.open("shop-7/one")
            await one.socket.send_bytes(begun)
            async with agent(it.url, it.token("shop-7"), boot="two") as two:
                await two.open("shop-7/two")
                await two.socket.send_bytes(begun)
                assert (await two.fault()).code == "limit"
            await other.socket.send_bytes(begun)
        async with agent(it.url, it.token("shop-7"), boot="three") as three:  # what is gone holds nothing
            await three.open("shop-7/three")
            await three.socket.send_bytes(begun)
            await three.open("shop-7/four", 1)
        await other.open("shop-8/yard", 1)


async def test_hellos_that_are_not_waited_for_are_bounded(stores: Stores, tmp_path: Path) -> None:
    names = [CameraHello(f"no name {channel}", channel) for channel in range(1000)]
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        for number in range(1, 20):
            await client.socket.send_str(encode(Hello((1, 1), "boot", number, names)))
        assert (await client.fault()).code == "limit"
