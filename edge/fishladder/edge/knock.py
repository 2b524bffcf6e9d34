"""Noticing that a link is back: a connection is begun each second until anybody answers for the gateway's address. A
single one would wait longer and longer between its tries, for as long again as the link was away.
"""

import asyncio
from contextlib import suppress

EVERY_S = 1.0
PATIENCE_S = 10.0


async def answers(host: str, port: int) -> None:
    """Returns when the address answers in any way: even a refusal comes over a link."""
    tries: set[asyncio.Task[bool]] = set()
    try:
        while True:
            tries.add(asyncio.create_task(_knock(host, port)))
            done, tries = await asyncio.wait(tries, timeout=EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            if any(it.result() for it in done):
                return
            if done:
                await asyncio.sleep(EVERY_S)
    finally:
        for it in tries:
            it.cancel()
        await asyncio.gather(*tries, return_exceptions=True)


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
