"""More cameras without keyframes than the frame store has room to keep for a take-over: all goes on all the same."""

from pathlib import Path

from redis.exceptions import OutOfMemoryError
from support import clips
from support.clips import Clip
from support.logged import Producer
from support.stores import PARTITIONS, temporary_server, wait_until
from support.workers import ledger_of, settled, worker_here

from fishladder.runtime.store import StoreUrls, open_stores
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position

FRAMES_BYTES = 12 << 20
CAMERAS = 10
#: Filler that decoders pass over: each camera's clip is then 1.6 MB behind a single keyframe.
FILLER = b"\0\0\0\1\x0c" + b"\xff" * 16_000 + b"\x80"


def heavy() -> Clip:
    return tuple(unit._replace(payload=unit.payload + FILLER) for unit in clips.long_gop())


async def test_what_is_kept_for_take_overs_does_not_fill_the_store(model: Path) -> None:
    clip = heavy()
    async with temporary_server("frame", maxmemory=FRAMES_BYTES) as frames, temporary_server("state") as state:
        urls = StoreUrls(frames.url, state.url)
        async with open_stores(urls, partitions=PARTITIONS) as stores, worker_here(stores, model, lease_ms=10_000):
            producers = [Producer(stores, f"site/camera{number}") for number in range(CAMERAS)]
            assert sum(len(unit.payload) for unit in clip) * CAMERAS > FRAMES_BYTES
            for producer in producers:
                producer.capture(clip)

            async def send() -> bool:
                """A little of each in turn, as there is room."""
                for producer in producers:
                    try:
                        await producer.send(min(producer.following + 7, producer.position))
                    except OutOfMemoryError:
                        return False
                ends = [Position(producer.epoch, producer.position) for producer in producers]
                return [(await ledger_of(producer)).cursor for producer in producers] == ends

            await wait_until(send, 60, "all is sent and settled")

            async def room() -> bool:
                return int((await stores.frames.info("memory"))["used_memory"]) < FRAMES_BYTES * 0.8

            await wait_until(room, 30, "there is room for what comes next")
            for producer in producers:
                account = await settled(producer)
                assert set(account.fates.values()) == {Fate.INFERRED}
