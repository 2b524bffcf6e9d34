"""A peer with a good token that sends nothing as it should be: real messages of every kind, damaged. Run as a process
of its own, `python malformed.py URL COUNT SEED` with the token in TOKEN, it prints how much it sent.
"""

import asyncio
import os
import random
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

import aiohttp
from support.agent_client import unit
from support.samples import AGENT, BINARY, GATEWAY

from fishladder.wire.fates import Fate
from fishladder.wire.framing import FIRST, abandon, fragments, range_message
from fishladder.wire.messages import CameraHello, Hello, Positions, Probe, encode
from fishladder.wire.unit import Flag, Range

_TEXTS = [encode(one) for one in (*AGENT.values(), *GATEWAY.values())]
_BINARY = [*BINARY.values(), *(next(fragments(0, unit(1, seq).pack(), 16384)) for seq in range(1, 9))]
#: Of a connection, at most; by then something has ended most of them.
_PER_CONNECTION = 400


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Some bytes changed, cut out or put in."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, cut = rng.randint(0, len(changed)), rng.randint(0, 6)
        changed[at : at + cut] = rng.randbytes(rng.randint(0, 6))
    return bytes(changed)


def tolerated(rng: random.Random, site: str) -> str | bytes:
    """Wrong, but not so wrong that the connection has to end: it must cost nobody anything either."""
    match rng.randrange(8):
        case 0:
            return encode(Positions([(rng.randrange(65_536), rng.randrange(2**53)) for _ in range(rng.randrange(20))]))
        case 1:
            return encode(Probe(rng.randrange(2**53)))
        case 2:
            names = ["../../etc/passwd", f"{site}/..", "other/door", "x" * 500, f"{site}/bad\0", ""]
            cameras = [CameraHello(rng.choice(names), 100 + rng.randrange(6), epoch=rng.randrange(2**53))]
            return encode(Hello((1, 1), "bad", rng.randrange(1, 2**40), cameras if rng.random() < 0.02 else []))
        case 3:
            return abandon(rng.randrange(65_536), backfill=rng.random() < 0.5)
        case 4:
            return next(fragments(0, unit(rng.choice((1, 7)), rng.randrange(1, 2**40)).pack(), 16384))
        case 5:
            first = rng.randrange(1, 2**40)
            return range_message(0, Range(epoch=1, first=first, last=first + rng.randrange(99), fate=Fate.SHED))
        case 6:
            flags = Flag(rng.randrange(64)) & ~Flag.CONTEXT
            return next(fragments(0, unit(1, 1, flags=flags, captured_us=rng.randrange(2**62)).pack(), 16384))
        case _:
            return '{"type":"probe","sent_us":1,"more":' + "[" * 20 + "]" * 20 + "}"


def message(rng: random.Random, site: str) -> str | bytes:
    """The next message: one in fifty is damaged, which mostly ends the connection."""
    if rng.random() > 0.02:
        return tolerated(rng, site)
    match rng.randrange(4):
        case 0:
            return damaged(rng, rng.choice(_TEXTS).encode()).decode("latin-1")
        case 1:
            return damaged(rng, rng.choice(_BINARY))
        case 2:
            return rng.randbytes(rng.randrange(200))
        case _:
            return bytes((1, FIRST, 0, 0)) + (2**32 - 1).to_bytes(4, "big")


async def connection(http: aiohttp.ClientSession, url: str, token: str, rng: random.Random, most: int) -> int:
    """One connection to its end, or for `most` messages; how many were sent."""
    headers, site, sent = {"Authorization": f"Bearer {token}"}, "bad", 0
    async with http.ws_connect(f"{url}/v1/uplink", headers=headers, max_msg_size=0, heartbeat=None) as ws:

        async def listen() -> None:
            async for _ in ws:
                pass

        listening = asyncio.create_task(listen())
        try:
            await ws.send_str(encode(Hello((1, 1), rng.randbytes(8).hex(), 1, [CameraHello(f"{site}/cam", 0)])))
            while sent < most and not listening.done():
                said = message(rng, site)
                await (ws.send_str(said) if isinstance(said, str) else ws.send_bytes(said))
                sent += 1
                if sent % 20 == 0:
                    await asyncio.sleep(0)
        except ConnectionError:
            pass
        finally:
            await ws.close()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    return sent


async def attack(url: str, token: str, count: int, seed: int, at_once: int = 4) -> tuple[int, int]:
    """Send `count` messages over connections side by side; how many, and over how many connections."""
    left, made = count, 0

    async def attacker(number: int) -> None:
        nonlocal left, made
        rng = random.Random(seed * 1000 + number)
        async with aiohttp.ClientSession() as http:
            while left > 0:
                made += 1
                try:
                    left -= await connection(http, url, token, rng, min(left, _PER_CONNECTION))
                except (aiohttp.ClientError, OSError):
                    await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        for number in range(at_once):
            group.create_task(attacker(number))
    return count - left, made


if __name__ == "__main__":
    _, to, many, start = sys.argv
    print(*asyncio.run(attack(to, os.environ["TOKEN"], int(many), int(start))))
