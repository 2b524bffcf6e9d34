"""Noticing that a link is back: a connection is begun each second until anybody answers where the gateway is. A single
one would wait longer and longer between its tries, for as long again as the link was away.
"""

import asyncio
import socket
from contextlib import suppress

EVERY_S = 1.0
PATIENCE_S = 10.0
#: Its name is looked up so often, for it may have moved, or another one may have taken its place.
LOOK_UP_S = 5.0
#: Knocked at of those its name stands for.
MOST = 4

Address = tuple[str, int]


async def answers(peer: Address, named: Address) -> None:
    """Returns when `peer`, where it was last, answers in any way, or an address that the name it has now stands for:
    even a refusal comes over a link.
    """
    at = [peer]
    looking = asyncio.create_task(_look_up(named, at))
    tries: set[asyncio.Task[bool]] = set()
    try:
        while True:
            tries |= {asyncio.create_task(_knock(host, port)) for host, port in at}
            done, tries = await asyncio.wait(tries, timeout=EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            if any(it.result() for it in done):
                return
            if done:
                await asyncio.sleep(EVERY_S)
    finally:
        for it in (looking, *tries):
            it.cancel()
        await asyncio.gather(looking, *tries, return_exceptions=True)


async def _look_up(named: Address, at: list[Address]) -> None:
    """Keep `at` what the name stands for. As long as nobody says that, it stays what it was."""
    host, port = named
    while True:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            at[:] = dict.fromkeys((str(it[4][0]), int(it[4][1])) for it in found[:MOST])
        await asyncio.sleep(LOOK_UP_S)


async def _knock(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, writer = await asyncio.open_connection(host, port)
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
