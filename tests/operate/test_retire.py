"""What is retired is spoken of no more, and keeps its account; what comes back is there again."""

import time

from support.commands import fishladder

from fishladder.runtime import state
from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.ids import partition_of

CAMERAS = ("shop-7/door", "shop-7/yard", "shop-8/door")


async def claimed(stores: Stores, camera: str, *, ago_s: float, hello: int = 1) -> None:
    """As if its agent had said hello then, and nothing more."""
    now_us = time.time_ns() // 1000 - int(ago_s * 1e6)
    partition = partition_of(camera, stores.partitions)
    await state.claim(stores.state, partition, camera, boot="b", hello=hello, epoch=0, position=0, now_us=now_us)


async def known(stores: Stores) -> str:
    return (await fishladder("status", "--redis", stores.urls.state)).out


async def test_a_site_and_a_camera_are_retired_and_come_back(stores: Stores) -> None:
    for camera in CAMERAS:
        await claimed(stores, camera, ago_s=3600)
    at = ("--redis", stores.urls.state)
    assert (await fishladder("status", "--check", *at)).status == 1
    done = await fishladder("retire", "shop-7", *at)
    assert done.out == "shop-7/door is retired\nshop-7/yard is retired\n"
    assert "shop-7" not in await known(stores)
    assert "shop-8" in await known(stores)
    alone = await fishladder("status", "shop-7", *at)
    assert (alone.status, "are retired" in alone.err) == (2, True)
    assert (await fishladder("retire", "shop-8/door", *at)).status == 0
    assert (await fishladder("status", "--check", *at)).status == 0
    assert "shop-7/door" in (await fishladder("ledger", *at)).out
    await claimed(stores, "shop-7/door", ago_s=0, hello=2)
    back = await fishladder("status", "shop-7", *at)
    assert ("shop-7/door" in back.out or "door" in back.out, "yard" in back.out) == (True, False)


async def test_what_is_still_there_is_not_retired(stores: Stores) -> None:
    await claimed(stores, CAMERAS[0], ago_s=1)
    done = await fishladder("retire", CAMERAS[0], "--redis", stores.urls.state)
    assert done.status == 2
    assert "shop-7/door is still there" in done.err


async def test_a_sink_is_retired(stores: Stores) -> None:
    await stores.state.hset(keys.SINKS, "alarms", b"{}")
    at = ("--redis", stores.urls.state)
    wrong = await fishladder("retire", "--sink", "alarm", *at)
    assert (wrong.status, "there are: alarms" in wrong.err) == (2, True)
    assert (await fishladder("retire", "--sink", "alarms", *at)).status == 0
    assert await stores.state.hkeys(keys.SINKS) == []


async def test_it_says_what_to_name(stores: Stores) -> None:
    for wrong in ((), ("a", "--sink", "b")):
        done = await fishladder("retire", *wrong, "--redis", stores.urls.state)
        assert (done.status, "name a SITE" in done.err) == (2, True)
    done = await fishladder("retire", "nowhere", "--redis", stores.urls.state)
    assert "no site nowhere has ever been heard of" in done.err
