"""Clients that are not ours push by WHIP and reach detections: a browser's camera, and FFmpeg's own WHIP muxer."""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from aiohttp import ClientSession, web
from support.certificates import localhost_certificate
from support.fleet import fleet, until
from support.models import strips_model

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PAGE = Path(__file__).parent.parent / "browser" / "whip.html"
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--mute-audio"),
    *(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        "--autoplay-policy=no-user-gesture-required",
    ),
)


@asynccontextmanager
async def page_server(said: list[dict[str, str]]) -> AsyncIterator[str]:
    """Serve the page; what it says is appended to `said`."""

    async def show(_: web.Request) -> web.StreamResponse:
        return web.Response(text=PAGE.read_text(), content_type="text/html")

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
async def browser(url: str) -> AsyncIterator[None]:
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM, *FLAGS, f"--user-data-dir={profile}", url, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            process.terminate()
            await process.wait()


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_chromium_reaches_detections(codec: str, tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    async with fleet(tmp_path) as (system, stores):
        await system.worker(model)
        said: list[dict[str, str]] = []
        async with page_server(said) as port:
            query = {"endpoint": f"{system.url}/whip/shop/tablet", "token": await system.token("shop"), "codec": codec}
            async with browser(f"http://127.0.0.1:{port}/?{urlencode(query)}"):

                async def inferred() -> bool:
                    assert not any(one["what"] == "failed" for one in said), said
                    return (await system.ledger(stores, "shop/tablet")).group("inferred") >= 30

                await until(inferred, 60, "30 frames are inferred")
        ledger = await system.settled(stores, "shop/tablet")
        account = await system.account(stores, "shop/tablet")
    assert ledger.closes
    assert {"what": "status", "detail": "201"} in said
    assert any(account.frames().values())


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
async def test_chromium_without_a_token_is_told_401(tmp_path: Path) -> None:
    async with fleet(tmp_path) as (system, _):
        said: list[dict[str, str]] = []
        async with page_server(said) as port:
            query = {"endpoint": f"{system.url}/whip/shop/tablet", "token": "", "codec": "H264"}
            async with browser(f"http://127.0.0.1:{port}/?{urlencode(query)}"):

                async def answered() -> bool:
                    return any(one["what"] in ("status", "failed") for one in said)

                await until(answered, 60, "the page has an answer")
        assert {"what": "status", "detail": "401"} in said


FFMPEG_WHIP = """
import sys, time
from fractions import Fraction
import av
import numpy as np

url, token, cert, key = sys.argv[1:]
options = {"cert_file": cert, "key_file": key} | ({"authorization": token} if token else {})
with av.open(url, "w", format="whip", options=options) as container:
    settings = {"profile": "baseline", "tune": "zerolatency", "preset": "ultrafast"}
    stream = container.add_stream("libx264", rate=15, options=settings)
    stream.width, stream.height, stream.pix_fmt, stream.gop_size = 320, 240, "yuv420p", 15
    stream.bit_rate = 500_000
    began = time.monotonic()
    for index in range(15 * 60):
        frame = av.VideoFrame.from_ndarray(np.full((360, 320), 40 + index % 160, np.uint8), format="yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, 15)
        for packet in stream.encode(frame):
            container.mux(packet)
        time.sleep(max(0.0, began + (index + 1) / 15 - time.monotonic()))
"""


async def ffmpeg(place: Path, url: str, token: str) -> asyncio.subprocess.Process:
    """FFmpeg's WHIP muxer, as PyAV carries it, with an ordinary P-256 certificate."""
    made = localhost_certificate(place)
    command = (sys.executable, "-c", FFMPEG_WHIP, url, token, str(made.cert), str(made.key))
    return await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)


async def test_ffmpeg_reaches_detections(tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    async with fleet(tmp_path) as (system, stores):
        await system.worker(model)
        process = await ffmpeg(tmp_path, f"{system.url}/whip/shop/encoder", await system.token("shop"))
        try:

            async def inferred() -> bool:
                assert process.returncode is None, (await process.communicate())[1].decode()
                return (await system.ledger(stores, "shop/encoder")).group("inferred") >= 30

            await until(inferred, 60, "30 frames are inferred")
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
        ledger = await system.settled(stores, "shop/encoder")
    assert ledger.closes


async def test_ffmpeg_without_a_token_is_refused(tmp_path: Path) -> None:
    async with fleet(tmp_path) as (system, _):
        process = await ffmpeg(tmp_path, f"{system.url}/whip/shop/encoder", "")
        _, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode
        assert b"401" in err
        async with ClientSession() as http, http.post(f"{system.url}/whip/shop/encoder", data=b"v=0") as reply:
            assert reply.status == 401
