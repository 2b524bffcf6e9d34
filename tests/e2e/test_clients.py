"""Clients that are not ours push by WHIP and reach detections: a browser's camera, and FFmpeg's own WHIP muxer."""

import asyncio
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest
from aiohttp import ClientSession
from support.browser import browser, page_server
from support.certificates import localhost_certificate
from support.fleet import fleet, until
from support.gateways import logged
from support.installed import needs_chromium, needs_webrtcbin
from support.models import strips_model

from fishladder.wire.entry import LoggedUnit


@needs_chromium
@pytest.mark.parametrize(
    "way",
    [
        {"codec": "H264"},
        {"codec": "VP8", "trickle": "1", "source": "canvas"},  # a canvas needs no permission: its candidates are names
        {"codec": "VP8", "rids": "h,m,l"},
    ],
    ids=["H264", "trickled mDNS", "simulcast"],
)
async def test_chromium_reaches_detections(way: dict[str, str], tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    async with fleet(tmp_path) as (system, stores):
        await system.worker(model)
        said: list[dict[str, str]] = []
        sizes: set[tuple[int, int]] = set()
        async with page_server(said) as port:
            query = {"endpoint": f"{system.url}/whip/shop/tablet", "token": await system.token("shop")} | way
            page = f"http://127.0.0.1:{port}/?{urlencode(query)}"
            async with browser(page, camera=way.get("source") != "canvas"):

                async def inferred() -> bool:
                    assert not any(one["what"] == "failed" for one in said), said
                    units = [one.header for one in await logged(stores, "shop/tablet") if isinstance(one, LoggedUnit)]
                    sizes.update((header.width, header.height) for header in units)
                    return (await system.ledger(stores, "shop/tablet")).group("inferred") >= 30

                await until(inferred, 60, "30 frames are inferred")
        ledger = await system.settled(stores, "shop/tablet")
        account = await system.account(stores, "shop/tablet")
    assert ledger.closes
    assert {"what": "status", "detail": "201"} in said
    if "trickle" in way:
        assert {"what": "trickled", "detail": "204"} in said
        assert ".local" in next(one["detail"] for one in said if one["what"] == "candidates")
    if "rids" in way:
        # A browser short of CPU sends less than 640 x 480, but the next encoding has 320 at most.
        assert max(width for width, _ in sizes) > 320
    assert any(account.frames().values())


@needs_chromium
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


MUXER = Path(__file__).parents[1] / "support" / "whip_clients" / "pyav.py"


@needs_webrtcbin
async def test_gstreamer_reaches_detections(tmp_path: Path) -> None:
    """Its certificate has an RSA key."""
    model = strips_model(tmp_path / "strips.onnx")
    script = Path(__file__).parents[1] / "support" / "whip_clients" / "gst.py"
    async with fleet(tmp_path) as (system, stores):
        await system.worker(model)
        url, token = f"{system.url}/whip/shop/encoder", await system.token("shop")
        process = await asyncio.create_subprocess_exec("/usr/bin/python3", str(script), url, token, "H264")
        try:

            async def inferred() -> bool:
                assert process.returncode is None
                return (await system.ledger(stores, "shop/encoder")).group("inferred") >= 30

            await until(inferred, 60, "30 frames are inferred")
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
        ledger = await system.settled(stores, "shop/encoder")
    assert ledger.closes


async def ffmpeg(place: Path, url: str, token: str) -> asyncio.subprocess.Process:
    """FFmpeg's WHIP muxer, as PyAV carries it, with an ordinary P-256 certificate."""
    made = localhost_certificate(place)
    command = (sys.executable, str(MUXER), url, token, str(made.cert), str(made.key))
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
