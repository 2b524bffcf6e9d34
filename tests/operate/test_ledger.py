"""`fishladder ledger` as a user runs it, against real stores."""

import json

from support.commands import fishladder
from support.runs import runs_after
from support.stores import StartServer

from fishladder.operate.ledger import age, why_open
from fishladder.runtime import commits, leases, state
from fishladder.runtime.ledger import Ledger
from fishladder.runtime.store import Stores, connect
from fishladder.wire import keys
from fishladder.wire.fates import Fate
from fishladder.wire.ids import ORIGIN, Position, partition_of


async def camera_with(stores: Stores, camera: str, captured: int, counts: dict[Fate, int]) -> None:
    """A camera of `captured` frames of which `counts` are settled."""
    p = partition_of(camera, stores.partitions)
    await state.claim(stores.state, p, camera, boot="b", hello=1, epoch=0, position=captured, now_us=1)
    assert await leases.acquire_lease(stores.state, p, camera, 60_000)
    settled = Position(1, sum(counts.values()))
    for start, to, what in ((ORIGIN, Position(1, 0), {}), (Position(1, 0), settled, counts)):
        done = await commits.commit(
            stores.state, p, camera, token=camera, start=start, to=to,
            runs=runs_after(start, what.items()), keep_bytes=1000, keep_ms=1000,
        )  # fmt: skip
        assert done == commits.Committed()
    assert await leases.release_lease(stores.state, p, camera)


async def two_cameras(stores: Stores) -> None:
    await camera_with(stores, "shop-7/door", 30, {Fate.INFERRED: 12, Fate.GATED: 3, Fate.SHED: 5})
    await camera_with(stores, "depot/gate", 4, {Fate.INFERRED: 4})


async def test_a_table_of_what_became_of_all_frames(stores: Stores) -> None:
    await two_cameras(stores)
    done = await fishladder("ledger", "--redis", stores.urls.state)
    assert done.status == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    door = next(row for row in rows if row[:1] == ["shop-7/door"])
    assert door[1:6] == ["30", "12", "3", "5", "10"]
    assert " ".join(door[-5:]) == "shed 5, gated 3 yes"
    assert next(row for row in rows if row[:1] == ["depot/gate"])[1:6] == ["4", "4", "0", "0", "0"]
    assert "durable" not in done.out, "what is as it should be needs no word"


async def test_json_and_a_choice_of_cameras(stores: Stores) -> None:
    await two_cameras(stores)
    done = await fishladder("ledger", "shop-7", "--json", "--redis", stores.urls.state, "--frames", "redis://unused")
    assert done.status == 0, done.err
    document = json.loads(done.out)
    assert (document["closes"], document["durability"]) == (True, "durable")
    [door] = document["cameras"]
    assert door.pop("position_age_s") > 0
    assert door == {
        "camera": "shop-7/door", "captured": 30, "inferred": 12, "skipped": 3, "dropped": 5, "pending": 10,
        "unaccounted": 0, "closes": True, "reasons": {"inferred": 12, "gated": 3, "shed": 5},
        "position": "1-30", "cursor": "1-20",
    }  # fmt: skip
    done = await fishladder("ledger", "depot/gate", "--json", env={"FISHLADDER_REDIS": stores.urls.state})
    assert [it["camera"] for it in json.loads(done.out)["cameras"]] == ["depot/gate"]


async def test_a_ledger_that_does_not_close_is_exit_status_1(stores: Stores) -> None:
    await two_cameras(stores)
    p = partition_of("shop-7/door", stores.partitions)
    await stores.state.hincrby(keys.ledger(p, "shop-7/door"), "main/inferred", -2)
    done = await fishladder("ledger", "--redis", stores.urls.state)
    assert done.status == 1
    assert done.err == "fishladder: the ledger of shop-7/door does not close: 2 captured frames have no fate\n"
    assert "NO, by 2" in done.out
    assert "depot/gate" in done.out


async def test_a_weaker_store_is_said_and_works(store_server: StartServer) -> None:
    url = await store_server()
    admin = connect(url)
    await admin.hset(keys.META, mapping={"schema": keys.SCHEMA, "partitions": 4})
    await admin.aclose()
    done = await fishladder("ledger", "--redis", url)
    assert done.status == 0
    assert done.out.splitlines()[0] == "no cameras yet"
    assert done.out.splitlines()[1].startswith("state store not durable: appendonly is off")


async def test_stores_that_cannot_be_read_are_exit_status_3(stores: Stores, store_server: StartServer) -> None:
    done = await fishladder("ledger", "--redis", "unix:///nowhere/s")
    assert (done.status, done.out) == (3, "")
    assert done.err.startswith("fishladder: no state store at unix:///nowhere/s: ")
    done = await fishladder("ledger", "--data-dir", "/nowhere")
    assert done.status == 3
    assert "start `fishladder gateway run`, or name a store with --redis URL" in done.err
    url = await store_server()
    done = await fishladder("ledger", "--redis", url)
    assert done.status == 3
    assert "holds nothing of ours" in done.err
    client = connect(url)
    assert await client.dbsize() == 0, "reading leaves nothing behind"
    await client.aclose()


async def test_a_camera_nobody_knows(stores: Stores) -> None:
    done = await fishladder("ledger", "shop-7/attic", "--redis", stores.urls.state)
    assert done.status == 2
    assert done.err == "fishladder: no camera shop-7/attic has ever been heard of in this store\n"
    done = await fishladder("ledger", "Shop!", "--redis", stores.urls.state)
    assert done.status == 2
    assert "site 'Shop!' is not allowed" in done.err


def test_each_way_not_to_close_has_its_sentence() -> None:
    assert "3 captured frames have no fate" in why_open(Ledger("a/b", 10, 2, {Fate.SHED: 5}))
    assert "4 more fates than captured frames" in why_open(Ledger("a/b", 10, 2, {Fate.SHED: 12}))
    assert "1 frames ahead" in why_open(Ledger("a/b", 10, -1, {Fate.SHED: 11}))


def test_ages_are_told_in_few_figures() -> None:
    told = [age(seconds) for seconds in (None, -0.2, 0.83, 45, 125, 7300, 200_000)]
    assert told == ["never", "0.0 s", "0.8 s", "45 s", "2 min", "2 h", "2 d"]
