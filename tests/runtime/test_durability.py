"""What we say about a store's settings, asked of real ones."""

from support.stores import StartServer

from fishladder.runtime.durability import frame_limits, judge_state, state_durability
from fishladder.runtime.store import Stores, connect


async def test_our_own_stores_are_sound(stores: Stores) -> None:
    assert str(await state_durability(stores.state)) == "durable"
    assert (await state_durability(stores.state)).sound is True
    assert str(await frame_limits(stores.frames)) == "64 MiB, refuses more when full"


async def test_a_store_without_append_only_file(stores: Stores) -> None:
    found = await state_durability(stores.frames)
    assert found.sound is False
    assert "appendonly is off" in found.why


async def test_everysec_is_not_durable(stores: Stores) -> None:
    await stores.state.config_set("appendfsync", "everysec")
    found = await state_durability(stores.state)
    assert found.sound is False
    assert "appendfsync is everysec" in found.why


async def test_eviction_is_not_durable(stores: Stores) -> None:
    await stores.state.config_set("maxmemory-policy", "allkeys-lru")
    assert "may evict state" in (await state_durability(stores.state)).why
    await stores.frames.config_set("maxmemory-policy", "volatile-ttl")
    assert "forgets frames when full" in (await frame_limits(stores.frames)).why
    await stores.frames.config_set("maxmemory", "0")
    assert "no memory limit" in (await frame_limits(stores.frames)).why


async def test_a_store_that_does_not_let_us_ask(store_server: StartServer) -> None:
    """As with managed services: a user without CONFIG."""
    url = await store_server(appendonly=True)
    admin = connect(url)
    await admin.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-config")
    app = connect(url + "?username=app&password=secret")
    found = await state_durability(app)
    assert found.sound is None
    assert found.why.startswith("unknown: appendonly is on")
    await admin.aclose()
    await app.aclose()


def test_a_failing_disk_is_said() -> None:
    found = judge_state({"aof_enabled": 1, "aof_last_write_status": "err"}, {"appendfsync": "always"})
    assert found.sound is False
    assert "is its disk full" in found.why


def test_replicas_are_mentioned() -> None:
    assert judge_state({"aof_enabled": 1, "connected_slaves": 2}, {"appendfsync": "always"}).why == (
        "durable (2 replicas)"
    )
