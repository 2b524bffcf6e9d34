"""What the live page shows of a site with many cameras, and what it says where pictures do not come, in Chromium."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support.agent_client import AgentClient, agent
from support.chromium import Tab, chromium
from support.clips import jpeg
from support.gateways import Gateway, gateway
from support.installed import needs_chromium

from fishladder.runtime.store import Stores
from fishladder.wire.bitstream import inspect
from fishladder.wire.unit import Codec, Flag, Unit

pytestmark = [
    needs_chromium,
    pytest.mark.timeout(120),
]


async def picture(
    client: AgentClient, cameras: int, age_s: float = 0.0, *, seq: int = 1, damaged: bool = False
) -> None:
    """One picture of each camera, its `seq`th, captured so long ago."""
    payload = jpeg()[seq - 1].payload
    if damaged:  # what says how large it is is there
        payload = payload[: payload.index(b"\xff\xda")] + b"\xff\xd9"
    for channel in range(cameras):
        if seq == 1:
            await client.open(f"shop-7/c{channel:02}", channel)
        one = Unit(
            epoch=1,
            seq=seq,
            codec=Codec.JPEG,
            payload=payload,
            flags=inspect(Codec.JPEG, payload).flags | Flag.SYNCED,
            pts_us=40_000 * (seq - 1),
            duration_us=40_000,
            wall_us=int((time.time() - age_s) * 1e6),
        )
        await client.send(channel, one)
        await client.until_logged(channel, seq)


async def show_site(tab: Tab, it: Gateway, cameras: int) -> None:
    await tab.open(it.url)
    await tab.until("document.activeElement?.id === 'token'", "the form")
    await tab.type(it.token("shop-7", scope=["view"]))
    await tab.press("Enter")
    await tab.until("!!document.querySelector('.row')", "the site")
    await tab.evaluate("location.hash = '#/site/shop-7'")
    await tab.until(f"document.querySelectorAll('.tile').length === {cameras}", "its cameras")


@asynccontextmanager
async def looking(it: Gateway, camera: str) -> AsyncIterator[None]:
    headers = {"Authorization": f"Bearer {it.token('shop-7', scope=['view'])}"}
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{it.url}/v1/live?camera={camera}", headers=headers):
        yield


def thrown(tab: Tab) -> list[str]:
    """Errors that nobody caught; the rest is what the browser logs by itself, as of a login that is asked for, or of a
    page that is left before it was connected.
    """
    left = "WebSocket is closed before the connection is established"
    return [it for it in tab.said if not it.startswith(("error: ", "verbose: ")) and left not in it]


def shown(camera: str) -> str:
    return f"document.querySelector('.tile a[href$={camera}] canvas').ariaLabel.startsWith('newest')"


#: What each camera's canvas shows.
GLASS = "[...document.querySelectorAll('.tile canvas')].map(it => it.toDataURL())"
NOTE = "[...document.querySelectorAll('.note')].filter(it => !it.hidden).map(it => it.textContent).join()"


@pytest.mark.parametrize("off_s", [-600, 600])
async def test_an_old_picture_is_as_old_where_the_browsers_clock_is_wrong(
    stores: Stores, tmp_path: Path, off_s: int
) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client, chromium() as tab:
        await picture(client, 7, age_s=40.0)
        wrong = f"const right = Date.now; Date.now = () => right.call(Date) + {off_s * 1000};"
        await tab.call("Page.addScriptToEvaluateOnNewDocument", source=wrong)
        await show_site(tab, it, 7)
        await tab.until(shown("c03"), "a picture")
        age = await tab.evaluate("document.querySelector('.tile a[href$=c03] .age').textContent")
        assert age.endswith(" s ago"), age
        assert 39 <= int(age.split()[0]) < 100


async def test_each_camera_of_a_large_site_is_shown_once_it_is_in_view(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client, chromium() as tab:
        await picture(client, 70)
        await tab.look(width=900, height=500)
        await show_site(tab, it, 70)
        await tab.until(shown("c00"), "the first camera's picture")
        assert not await tab.evaluate(shown("c69"))
        await tab.evaluate("scrollTo(0, document.body.scrollHeight)")
        await tab.until(shown("c69"), "the last one's picture")
        assert await tab.evaluate(NOTE) == ""

        await tab.look(width=2000, height=4000)
        said = "Pictures of 64 cameras come at once: of the 70 in view the others stand still."
        await tab.until(f"{NOTE} === {said!r}", "that not all come")


async def test_thirty_two_cameras_all_move_on_a_desk_a_phone_and_by_keyboard(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client, chromium() as tab:
        await picture(client, 32)
        await tab.look(width=1440, height=1300)
        await show_site(tab, it, 32)
        all_shown = "document.querySelectorAll('.tile canvas[aria-label^=newest]').length === 32"
        await tab.until(all_shown, "a picture of each")
        below = "[...document.querySelectorAll('.tile')].map(it => it.getBoundingClientRect().bottom - innerHeight)"
        assert await tab.evaluate(f"{below}.filter(it => it <= 0).length") == 32
        # A picture that is another one, of each, is on the glass.
        await tab.evaluate(f"window.before = {GLASS}")
        await picture(client, 32, seq=2)
        await tab.until(f"{GLASS}.every((it, at) => it !== before[at])", "all of them move")
        assert await tab.evaluate(NOTE) == ""

        await tab.look(width=390, height=844)
        assert await tab.evaluate("document.documentElement.scrollWidth") <= 390
        await tab.evaluate("scrollTo(0, document.body.scrollHeight)")
        await tab.evaluate(f"window.before = {GLASS}")
        await picture(client, 32, seq=3)
        await tab.until(f"{GLASS}.every((it, at) => it !== before[at])", "they still do")

        await tab.evaluate("document.querySelector('.tile a').focus()")
        for _ in range(31):
            await tab.press("Tab")
        assert await tab.evaluate("document.activeElement.hash") == "#/camera/shop-7/c31"
        await tab.press("Enter")
        await tab.until("document.querySelector('h1')?.textContent.includes('c31')", "that camera's page")
        await tab.press("Escape")
        await tab.until(all_shown, "the wall again")
        assert thrown(tab) == []


async def test_a_damaged_picture_is_said_and_the_next_one_shown(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client, chromium() as tab:
        await picture(client, 1, damaged=True)
        await show_site(tab, it, 1)
        await tab.until(
            "document.querySelector('.age').textContent === 'the picture cannot be decoded'", "what is wrong"
        )
        await picture(client, 1, seq=2)
        await tab.until(shown("c00"), "the next picture")
        assert thrown(tab) == []


async def test_a_proxy_that_lets_no_websocket_through_is_named(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client, chromium() as tab:
        await picture(client, 1)
        elsewhere = "constructor(url) { super(url.replace('/v1/live', '/nothing')); }"
        away = f"window.WebSocket = class extends WebSocket {{ {elsewhere} }};"
        await tab.call("Page.addScriptToEvaluateOnNewDocument", source=away)
        await show_site(tab, it, 1)
        await tab.until(f"{NOTE}.includes('(a WebSocket) does not get through')", "why there are none")


async def test_who_is_refused_for_want_of_room_reads_why_until_there_is_some(stores: Stores, tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, stores.urls, limits={"viewers": 4}) as it,
        agent(it.url, it.token("shop-7")) as client,
        chromium() as tab,
    ):
        await picture(client, 7)
        async with AsyncExitStack() as others:
            for _ in range(4):
                await others.enter_async_context(looking(it, "shop-7/c00"))
            await show_site(tab, it, 7)
            why = "No live pictures for now: one token may open 4 pages with pictures at once, all together 4."
            await tab.until(f"{NOTE}.startsWith({why!r})", "why there are none")
            await tab.evaluate("location.hash = '#/camera/shop-7/c03'")
            await tab.until(
                f"document.querySelector('.over')?.textContent.startsWith({why!r})", "so does a camera's page"
            )
            await tab.evaluate("location.hash = '#/site/shop-7'")
            await tab.until(f"{NOTE}.startsWith({why!r})", "why there are none, again")
        await tab.until(shown("c03"), "a picture, when the others have gone")
        assert await tab.evaluate(NOTE) == ""
