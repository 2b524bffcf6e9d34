import asyncio

import pytest
from support.stores import StartServer, wait_until

from fishladder.runtime.store import Stores, StoreUrls, connect, give_up_after, open_stores, redacted
from fishladder.wire import keys
from fishladder.wire.errors import ConfigError, StoreMismatch, StoreUnavailable


async def test_new_stores_remember_their_partitions(stores: Stores) -> None:
    assert stores.partitions == 4
    async with open_stores(stores.urls) as again:
        assert again.partitions == 4


async def test_a_full_store_can_be_opened(stores: Stores) -> None:
    """Or the worker that would drain it could not start."""
    for store in (stores.frames, stores.state):
        await store.config_set("maxmemory", "1")
    async with open_stores(stores.urls) as again:
        assert again.partitions == 4


async def test_one_url_for_both(store_server: StartServer) -> None:
    url = await store_server(appendonly=True)
    async with open_stores(StoreUrls(url, url)) as stores:
        assert stores.frames is stores.state
        assert stores.partitions == 64


async def test_another_number_of_partitions_is_refused(stores: Stores) -> None:
    with pytest.raises(StoreMismatch, match="with 4 partitions, not 8"):
        async with open_stores(stores.urls, partitions=8):
            pass


async def test_stores_that_do_not_belong_together_are_refused(stores: Stores) -> None:
    await stores.frames.hset(keys.META, "partitions", "16")
    with pytest.raises(StoreMismatch, match=r"frame store .* with 16 partitions, not 4"):
        async with open_stores(stores.urls):
            pass


async def test_a_later_schema_is_refused(stores: Stores) -> None:
    await stores.state.hset(keys.META, "schema", str(keys.SCHEMA + 1))
    with pytest.raises(StoreMismatch, match="use the version that wrote it"):
        async with open_stores(stores.urls):
            pass


async def test_no_server_is_said_with_its_url() -> None:
    with pytest.raises(StoreUnavailable, match="no state store at unix:///nowhere/s"):
        async with open_stores(StoreUrls("unix:///nowhere/s", "unix:///nowhere/s")):
            pass


async def test_a_refused_login_is_said(store_server: StartServer) -> None:
    url = await store_server()
    admin = connect(url)
    await admin.config_set("requirepass", "right")
    for tried in (url, url + "?password=wrong"):
        with pytest.raises(StoreUnavailable, match="refuses the login"):
            async with open_stores(StoreUrls(tried, tried)):
                pass
    await admin.aclose()


@pytest.mark.parametrize("url", ["http://host/", "host:6379", "redis://host:port"])
async def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError, match="store URL"):
        async with open_stores(StoreUrls(url, url)):
            pass


def test_passwords_are_not_shown() -> None:
    assert redacted("redis://me:secret@host:1/2") == "redis://***@host:1/2"
    assert redacted("redis://host") == "redis://host"
    assert redacted("redis://:pa/ss+w#rd?x@host:1/2") == "redis://***@host:1/2"
    assert redacted("unix:///a/s?db=1&password=secret&x=1") == "unix:///a/s?db=1&password=***&x=1"


async def test_wait_until_returns_what_it_waited_for() -> None:
    found = iter([0, 0, 7])
    assert await wait_until(lambda: next(found)) == 7


def test_an_unreadable_url_says_nothing_of_its_password() -> None:
    with pytest.raises(ConfigError, match="percent-encoded") as refused:
        connect("redis://:pa/ss+word@db:6379/0")
    assert "ss+word" not in str(refused.value)


async def test_a_cancellation_is_never_lost_to_a_time_out(stores: Stores) -> None:
    """redis-py's own socket time-out loses about half of them on Python 3.11."""
    await give_up_after(stores.frames, 5)

    async def read() -> None:
        while True:
            await stores.frames.xread({"none": "0"}, block=5)
            await stores.frames.ping()

    for step in range(40):
        task = asyncio.create_task(read())
        await asyncio.sleep(step / 4000)  # somewhere else in the round each time
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=5)
        assert done, "it went on after it was cancelled"
