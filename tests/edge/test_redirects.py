"""What an agent says, in one line, of whoever answers in its gateway's place, and whom it gives no token."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from support.certificates import Certificate, localhost_certificate

from fishladder.edge.gateway_address import GatewayAddress
from fishladder.edge.websocket import connect
from fishladder.edge.whip_signal import post
from fishladder.wire.errors import UplinkError


@asynccontextmanager
async def answering(handler: "web.Handler", tls: Certificate | None = None) -> AsyncIterator[str]:  # type: ignore[name-defined]
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls.server() if tls else None)
    await site.start()
    yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def said(to: GatewayAddress) -> str:
    with pytest.raises(UplinkError) as refused:
        async with connect(to):
            pass
    text = str(refused.value)
    assert "\n" not in text
    assert "s3cret" not in text
    return text


async def test_a_captive_portal_is_named_in_one_line(tmp_path: Path) -> None:
    tls = localhost_certificate(tmp_path)
    asked: list[str | None] = []

    async def portal(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Authorization"))
        if request.path == "/login":
            return web.Response(text="<html>Welcome to the hotel</html>", content_type="text/html")
        raise web.HTTPFound(f"http://127.0.0.1:{plain_port}/login?from=s3cret")

    async with answering(portal) as plain:
        plain_port = plain.rpartition(":")[2]
        assert "captive portal" in await said(GatewayAddress(plain, "s3cret"))
        async with answering(portal, tls) as secure:
            asked.clear()
            told = await said(GatewayAddress(secure, "s3cret", ca_file=tls.cert))
            assert "out of TLS: refused" in told
            assert "captive portal" in told
            assert asked == ["Bearer s3cret"], "it went to the gateway's name over TLS, and nowhere else"
            with pytest.raises(UplinkError, match="out of TLS: refused"):
                await post(GatewayAddress(secure, "s3cret", ca_file=tls.cert), f"{secure}/whip/a/b", "v=0")
            assert asked == ["Bearer s3cret"] * 2
            assert "captive portals show such" in await said(GatewayAddress(secure, "s3cret"))
    await asyncio.sleep(0)


async def test_a_ca_that_is_given_is_the_only_one_trusted(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    tls, other = localhost_certificate(tmp_path), localhost_certificate(tmp_path / "other")
    context = GatewayAddress("https://gw", ca_file=other.cert).tls()
    assert len(context.get_ca_certs()) == 1

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    async with answering(page, tls) as url:
        assert "is not trusted" in await said(GatewayAddress(url, "s3cret", ca_file=other.cert))


async def test_a_page_in_the_gateways_place_is_one(tmp_path: Path) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html></html>", content_type="text/html")

    async with answering(page) as url:
        assert "a web page (200): a captive portal" in await said(GatewayAddress(url, "s3cret"))
