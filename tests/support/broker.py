"""A real MQTT broker that keeps what it has taken for who is away."""

import asyncio
import getpass
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.fleet import listens
from support.installed import MOSQUITTO
from support.stores import wait_until


@asynccontextmanager
async def broker(port: int, place: Path) -> AsyncIterator[None]:
    assert MOSQUITTO is not None
    config = place / "mosquitto.conf"
    # Started by root it would become somebody who may not write there, and forget its sessions.
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {place}/\n"
        f"user {getpass.getuser()}\n"
    )
    process = await asyncio.create_subprocess_exec(MOSQUITTO, "-c", str(config), stderr=subprocess.DEVNULL)
    try:
        await wait_until(lambda: listens(port), what="the broker listens")
        yield
    finally:
        process.terminate()
        await process.wait()
