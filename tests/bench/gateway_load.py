"""Load for the gateway's benchmark: connections of some cameras each, at a steady pace, as an agent would send
them. Prints a line each second: units sent and units acknowledged so far.

    python tests/bench/gateway_load.py URL CERT TOKEN CONNECTIONS CAMERAS FPS SECONDS
"""

import asyncio
import json
import os
import ssl
import sys
import time
from dataclasses import dataclass, field

import aiohttp
import uvloop

from fishladder.wire.framing import MAX_MESSAGE_BYTES, fragments
from fishladder.wire.messages import CameraHello, Hello, encode
from fishladder.wire.unit import Codec, Flag, Unit

GOP = 60
KEYFRAME_BYTES, OTHER_BYTES = 40_000, 6_340  # 1.65 Mbit/s at 30 fps


@dataclass
class Totals:
    sent: int = 0
    logged: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def acked(self) -> int:
        return sum(self.logged.values())


def units(fps: float) -> list[Unit]:
    """One GOP of incompressible units."""
    return [
        Unit(
            epoch=1,
            seq=1,
            codec=Codec.H264,
            payload=os.urandom(OTHER_BYTES if index else KEYFRAME_BYTES),
            flags=Flag.SYNCED | (Flag(0) if index else Flag.CLEAN),
            duration_us=round(1_000_000 / fps),
            width=1280,
            height=720,
        )
        for index in range(GOP)
    ]


async def listen(socket: aiohttp.ClientWebSocketResponse, name: str, totals: Totals, welcome: asyncio.Event) -> None:
    async for message in socket:
        said = json.loads(message.data)
        if said["type"] == "ack":
            for channel, logged, _ in said["cameras"]:
                totals.logged[name, channel] = logged
        elif said["type"] == "welcome":
            assert not said.get("refused"), said
            welcome.set()
        elif said["type"] not in ("credit", "probed", "control"):
            sys.exit(f"the gateway said {said}")


async def connection(
    url: str, context: ssl.SSLContext, token: str, index: int, cameras: int, fps: float, totals: Totals
) -> None:
    name = f"site{index}"
    headers = {"Authorization": f"Bearer {token.split(',')[index]}"} if token != "-" else {}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/v1/uplink?name={name}", headers=headers, ssl=context) as socket,
    ):
        welcome = asyncio.Event()
        listening = asyncio.create_task(listen(socket, name, totals, welcome))
        if token != "-":
            hello = Hello((1, 1), os.urandom(8).hex(), 1, [CameraHello(f"{name}/cam{it}", it) for it in range(cameras)])
            await socket.send_str(encode(hello))
            await welcome.wait()
        gop = units(fps)
        loop = asyncio.get_running_loop()
        due = loop.time() + index / 100
        number = 0
        while not listening.done():
            for channel in range(cameras):
                # Cameras are not in step: each has its share of the interval, and its keyframe at another time.
                await asyncio.sleep(max(0.0, due + channel / cameras / fps - loop.time()))
                one = gop[(number + channel * 7) % GOP if number else 0]
                one = Unit(
                    **{name: getattr(one, name) for name in one.__slots__}
                    | {"seq": number + 1, "wall_us": time.time_ns() // 1000}
                )
                for message in fragments(channel, one.pack(), MAX_MESSAGE_BYTES):
                    await socket.send_bytes(message)
                totals.sent += 1
            number += 1
            due += 1 / fps
        await listening


async def main(url: str, cert: str, token: str, connections: int, cameras: int, fps: float, seconds: int) -> None:
    totals = Totals()
    context = ssl.create_default_context(cafile=cert)
    running = [
        asyncio.create_task(connection(url, context, token, index, cameras, fps, totals))
        for index in range(connections)
    ]
    for _ in range(seconds):
        await asyncio.sleep(1)
        for it in running:
            if it.done():
                it.result()
        print(json.dumps({"at": time.monotonic(), "sent": totals.sent, "acked": totals.acked}), flush=True)
    for it in running:
        it.cancel()
    await asyncio.gather(*running, return_exceptions=True)


if __name__ == "__main__":
    url, cert, token, connections, cameras, fps, seconds = sys.argv[1:]
    uvloop.run(main(url, cert, token, int(connections), int(cameras), float(fps), int(seconds)))
