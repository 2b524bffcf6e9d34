"""A webhook and an MQTT broker that are away for an hour beside a live system: whether frames went on being taken and
inferred meanwhile, and whether each result came in the end.

    python tests/bench/sinks.py [--minutes 60] [--json FILE]
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.broker import broker
from support.fleet import Fleet, fleet, free_port, until
from support.installed import MOSQUITTO
from support.models import strips_model
from support.receivers import Receiver, receiver

from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.ids import partition_of
from fishladder.wire.result import decode

CAMERAS = ("shop-7/door", "shop-7/till")
FPS = 2
EVERY_S = 60.0
#: Results that came before, to be sure of the beginning, and how long the rest may take after.
FIRST, AFTERWARDS_S = 10, 300.0

Came = set[tuple[str, int]]


@contextlib.asynccontextmanager
async def subscriber(port: int) -> AsyncIterator[Came]:
    """What it got, by a subscription that the broker keeps."""
    got: Came = set()

    async def subscribe() -> None:
        while True:
            try:
                async with aiomqtt.Client("127.0.0.1", port, identifier="automation", clean_session=False) as client:
                    await client.subscribe("fishladder/#", qos=1)
                    async for message in client.messages:
                        assert isinstance(message.payload, bytes)
                        it = json.loads(message.payload)
                        got.add((it["camera"], it["last"]))
            except (aiomqtt.MqttError, OSError):
                await asyncio.sleep(0.5)

    task = asyncio.create_task(subscribe())
    try:
        yield got
    finally:
        task.cancel()
        await asyncio.wait([task])


async def results(stores: Stores) -> Came:
    found = set()
    for camera in CAMERAS:
        for _, fields in await stores.state.xrange(keys.results(partition_of(camera, stores.partitions), camera)):
            found.add((camera, decode(fields[b"r"]).last))
    return found


async def inferred(system: Fleet, stores: Stores) -> tuple[int, int]:
    """Captured and pending frames of all cameras."""
    ledgers = [await system.ledger(stores, camera) for camera in CAMERAS]
    return sum(it.captured for it in ledgers), sum(it.pending for it in ledgers)


async def away(system: Fleet, stores: Stores, minutes: float) -> dict[str, Any]:
    """The hour itself: most that was pending, and captured frames."""
    began, (captured, _) = time.monotonic(), await inferred(system, stores)
    most = 0
    while (passed := time.monotonic() - began) < minutes * 60:
        await asyncio.sleep(min(EVERY_S, minutes * 60 - passed))
        now, pending = await inferred(system, stores)
        most = max(most, pending)
        print(f"  away for {(time.monotonic() - began) / 60:4.0f} min: captured {now}, pending {pending}", flush=True)
    return {"captured": now - captured, "expected": round(minutes * 60 * FPS * len(CAMERAS)), "most_pending": most}


async def run(minutes: float) -> dict[str, Any]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="fl-") as name:
        place = Path(name)
        async with receiver() as hook, subscriber(port) as bus, fleet(place) as (system, stores):
            settings = place / "sinks.toml"
            settings.write_text(
                f'[[sinks.webhook]]\nname = "alarms"\nurl = "http://127.0.0.1:{hook.port}/hook"\nbegin = "oldest"\n'
                f'[[sinks.mqtt]]\nname = "bus"\nhost = "127.0.0.1"\nport = {port}\nbegin = "oldest"\n'
            )
            await system.worker(strips_model(place / "strips.onnx"))
            sources = {camera.partition("/")[2]: f"test:160x120@{FPS}" for camera in CAMERAS}
            edge = await system.edge("shop-7", sources)
            data = ("--data-dir", str(place / "data"), "--metrics-port", "0")
            await system.start("sink", "sink", "run", "--config", str(settings), *data)
            async with broker(port, place):
                await until(lambda: _both(hook, bus, FIRST), 60, "the first results come by both")
                print("both deliver; now neither receiver is there", flush=True)
                await hook.stop()
            figures = await away(system, stores, minutes)
            async with broker(port, place):
                await hook.start()
                back = time.monotonic()
                assert await edge.stop() == 0
                for camera in CAMERAS:
                    await system.settled(stores, camera)
                wanted = await results(stores)

                async def all_came() -> bool:
                    return wanted <= set(hook.got) and wanted <= bus

                with contextlib.suppress(AssertionError):
                    await until(all_came, AFTERWARDS_S, "all of it")
                figures |= {
                    "results": len(wanted),
                    "lost_webhook": len(wanted - set(hook.got)),
                    "lost_mqtt": len(wanted - bus),
                    "again_webhook": len(hook.got) - len(set(hook.got)),
                    "caught_up_s": round(time.monotonic() - back, 1),
                }
    return figures


async def _both(hook: Receiver, bus: Came, count: int) -> bool:
    return len(hook.got) >= count and len(bus) >= count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if MOSQUITTO is None:
        sys.exit("this takes the broker mosquitto: run tests/system-packages")
    figures = asyncio.run(run(args.minutes))
    met = (
        figures["lost_webhook"] == figures["lost_mqtt"] == 0
        and figures["captured"] >= 0.98 * figures["expected"]
        and figures["most_pending"] <= 10 * FPS * len(CAMERAS)
    )
    print(f"{figures}\n  bound: nothing lost, captured as expected, at most 10 s pending: {'met' if met else 'MISSED'}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
