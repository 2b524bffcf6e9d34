"""A headless Chromium with a made-up camera, and the server of the pages it shows, which hears what they say."""

import asyncio
import json
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from support.installed import CHROMIUM

WHIP_PAGE = Path(__file__).parent.parent / "browser" / "whip.html"
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--mute-audio"),
    "--autoplay-policy=no-user-gesture-required",
)
#: A camera, and the permission to use it. Without the latter a browser hides its addresses behind mDNS names.
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@asynccontextmanager
async def page_server(said: list[dict[str, str]], text: str = WHIP_PAGE.read_text()) -> AsyncIterator[int]:
    """Serve the page, on which port; what it says is appended to `said`."""

    async def show(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type="text/html")

    async def hear(request: web.Request) -> web.Response:
        said.append(json.loads(await request.text()))
        return web.Response()

    app = web.Application()
    app.router.add_get("/", show)
    app.router.add_post("/said", hear)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def browser(url: str, *, camera: bool = True) -> AsyncIterator[None]:
    """Show a page while the block runs."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = (CHROMIUM, *FLAGS, *(CAMERA if camera else ()), f"--user-data-dir={profile}", url)
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            await process.wait()
