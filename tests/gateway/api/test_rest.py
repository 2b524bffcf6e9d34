"""The REST API over real sockets: what it says, to whom, and how it says no."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.agent_client import agent, unit
from support.analysis import analyse
from support.gateways import Gateway, gateway
from support.stores import temporary_pair, wait_until

from fishladder.runtime.store import Stores, connect
from fishladder.wire.fates import Fate
from fishladder.wire.messages import Control, Policy, Positions, UplinkStatus, encode
from fishladder.wire.unit import Range

DOOR = "/v1/cameras/shop-7/door"


class Asker:
    def __init__(self, http: aiohttp.ClientSession, it: Gateway) -> None:
        self.http, self.it = http, it

    async def __call__(
        self, path: str, *, method: str = "GET", site: str = "*", scope: str = "view", status: int = 200, **more: Any
    ) -> Any:
        headers = {"Authorization": f"Bearer {self.it.token(site, scope=[scope])}"} if site else {}
        async with self.http.request(method, self.it.url + path, headers=headers, **more) as reply:
            body = await reply.text()
            assert reply.status == status, (path, reply.status, body)
            return json.loads(body) if body else None


@asynccontextmanager
async def asker(stores: Stores, place: Path, **settings: Any) -> AsyncIterator[Asker]:
    async with gateway(place, stores.urls, **settings) as it, aiohttp.ClientSession() as http:
        yield Asker(http, it)


async def test_a_camera_from_its_first_frame_to_its_policy(stores: Stores, tmp_path: Path) -> None:
    async with asker(stores, tmp_path) as ask, agent(ask.it.url, ask.it.token("shop-7")) as client:
        await client.open("shop-7/door")
        await client.send(0, *(unit(1, seq) for seq in range(1, 9)))
        await client.declare(0, Range(epoch=1, first=9, last=10, fate=Fate.GATED))
        await client.until_logged(0, 10)
        status = UplinkStatus(rtt_us=41_000, estimate_bps=2e6, spool_bytes=38, spool_limit_bytes=100)
        await client.socket.send_str(encode(Positions([(0, 12)], uplink=status)))
        await analyse(stores, "shop-7/door")

        async def reported() -> bool:
            detail = await ask("/v1/sites/shop-7")
            return detail["site"]["uplink"]["rtt_ms"] == 41.0 and detail["cameras"][0]["ledger"]["captured"] == 12

        await wait_until(reported, what="positions and uplink are in the store")
        detail = await ask("/v1/sites/shop-7")
        camera = detail["cameras"][0]
        ledger = camera["ledger"]
        assert (ledger["inferred"], ledger["skipped"], ledger["pending"], ledger["closes"]) == (8, 2, 2, True)
        assert ledger["reasons"] == {"gated": 2}
        assert camera["hops_ms"]["infer"] == 30.0
        assert camera["seen"] == {"person": 1}
        assert (camera["codec"], camera["worker"]) == ("h264", "w-1")
        assert detail["site"]["uplink"]["estimate_bps"] == 2e6
        again = await ask(f"{DOOR}/ledger")
        assert again | {"position_age_s": 0} == ledger | {"position_age_s": 0}
        assert [it["camera"] for it in (await ask("/v1/cameras?site=shop-7"))["cameras"]] == ["shop-7/door"]
        assert [it["site"] for it in (await ask("/v1/sites"))["sites"]] == ["shop-7"]
        assert await ask("/v1/workers") == {"workers": []}
        assert await ask("/v1/sinks") == {"sinks": []}
        # What is wanted of it reaches its agent.
        wanted = await ask(f"{DOOR}/policy", method="PUT", scope="admin", json={"fps": 2.5})
        assert wanted["fps"] == 2.5
        control = await client.hear(Control, lambda it: it.policy is not None)
        assert control.policy == Policy(fps=2.5)


async def test_another_sites_token_shows_none_of_it(stores: Stores, tmp_path: Path) -> None:
    async with asker(stores, tmp_path) as ask, agent(ask.it.url, ask.it.token("shop-7")) as client:
        await client.open("shop-7/door")
        assert (await ask("/v1/sites", site="shop-8"))["sites"] == []
        assert (await ask("/v1/cameras", site="shop-8"))["cameras"] == []
        for path in ("/v1/sites/shop-7", DOOR, f"{DOOR}/ledger", f"{DOOR}/policy", "/v1/results?site=shop-7"):
            assert "does not cover" in (await ask(path, site="shop-8", status=403))["error"]
        await ask(f"{DOOR}/policy", method="PUT", site="shop-8", scope="admin", json={}, status=403)


@pytest.mark.parametrize(
    ("path", "how", "status"),
    [
        (DOOR, {"site": ""}, 401),
        (DOOR, {"scope": "publish", "site": "shop-7"}, 403),
        (DOOR, {}, 404),
        ("/v1/sites/nowhere", {}, 404),
        ("/v1/cameras/Shop/door", {}, 400),
        ("/v1/cameras?site=..", {}, 400),
        (f"{DOOR}/policy", {"method": "PUT", "json": {"fps": 2}}, 403),  # may look, not change
        (f"{DOOR}/policy", {"method": "PUT", "scope": "admin", "json": {"fps": -2}}, 400),
        (f"{DOOR}/policy", {"method": "PUT", "scope": "admin", "data": b"{"}, 400),
        (f"{DOOR}/policy", {"method": "PUT", "scope": "admin", "json": {"fps": 2}}, 404),
        ("/v1/results?since_ms=yesterday", {}, 400),
        ("/v1/results?after=x", {}, 400),
        ("/v1/results?camera=door", {}, 400),
    ],
)
async def test_what_cannot_be_done_is_said(
    stores: Stores, tmp_path: Path, path: str, how: dict[str, Any], status: int
) -> None:
    async with asker(stores, tmp_path) as ask:
        assert (await ask(path, status=status, **how))["error"]


async def test_a_login_makes_a_cookie_that_is_good_for_looking_only(stores: Stores, tmp_path: Path) -> None:
    async with asker(stores, tmp_path) as ask, agent(ask.it.url, ask.it.token("shop-7")) as client:
        await client.open("shop-7/door")
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(ask.it.url, cookie_jar=jar) as browser:
            async with browser.post("/v1/session", json={"token": "no"}) as reply:
                assert reply.status == 401
            async with browser.post("/v1/session", data={"token": "no"}) as reply:
                assert reply.status == 400  # what another page's form could send
            async with browser.get("/v1/sites") as reply:
                assert reply.status == 401
            token = ask.it.token("shop-7", scope=["admin"])
            async with browser.post("/v1/session", json={"token": token}) as reply:
                assert (await reply.json())["site"] == "shop-7"
                cookie = reply.headers["Set-Cookie"]
                assert "HttpOnly" in cookie
                assert "SameSite=Strict" in cookie
            async with browser.get("/v1/sites/shop-7") as reply:
                assert reply.status == 200
            async with browser.put(f"{DOOR}/policy", json={"fps": 1}) as reply:
                assert reply.status == 401
            async with browser.get("/v1/sites", headers={"Origin": "https://elsewhere.example"}) as reply:
                assert reply.status == 403
            async with browser.get("/v1/uplink") as reply:
                assert reply.status == 401
            async with browser.delete("/v1/session") as reply:
                assert reply.status == 204
            async with browser.get("/v1/session") as reply:
                assert reply.status == 401


async def test_the_page_lets_the_browser_load_nothing_else(stores: Stores, tmp_path: Path) -> None:
    async with asker(stores, tmp_path) as ask:
        async with ask.http.get(ask.it.url, headers={"Accept": "text/html,*/*"}) as reply:
            assert reply.status == 200
            assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
            tag = reply.headers["ETag"]
        async with ask.http.get(ask.it.url, headers={"Accept": "text/html", "If-None-Match": tag}) as reply:
            assert reply.status == 304
        for name, status in (("app.js", 200), ("style.css", 200), ("../serve.py", 404), ("nothing", 404)):
            async with ask.http.get(f"{ask.it.url}/page/{name}") as reply:
                assert reply.status == status, name
        async with ask.http.get(ask.it.url) as reply:
            assert "/v1/openapi.json" in await reply.text()


async def test_stores_that_are_away_are_503(tmp_path: Path) -> None:
    async with temporary_pair() as urls, gateway(tmp_path, urls) as it, aiohttp.ClientSession() as http:
        ask = Asker(http, it)
        await ask("/v1/sites")
        client = connect(urls.state)
        await client.execute_command("CLIENT", "PAUSE", "20000", "ALL")
        await client.aclose()
        assert "stores" in (await ask("/v1/cameras?site=x", status=503))["error"]
