"""The live page in Chromium, on a whole system of real processes: what a person sees, on a desk and on a phone, by
keyboard, with and without a token, and that it says so when it is stale.
"""

from importlib.resources import files
from pathlib import Path

import pytest
from support.chromium import Tab, chromium
from support.fleet import Fleet, fleet
from support.installed import needs_chromium
from support.models import strips_model
from support.stores import wait_until

pytestmark = [
    needs_chromium,
    pytest.mark.timeout(300),
]

AXE = (files("axe_core_python") / "axe.min.js").read_text()
#: Moves at 10 fps, and is encoded by the agent.
CAMERA = "test:320x240@10"


async def log_in(tab: Tab, system: Fleet, token: str) -> None:
    await tab.open(f"{system.url}/")
    await tab.until("document.activeElement?.id === 'token'", "the form waits for a token")
    await tab.type(token)
    await tab.press("Enter")


async def violations(tab: Tab) -> list[str]:
    """What axe finds on the page as it is, light and dark."""
    await tab.evaluate(f"window.axe ? 0 : ({_AS_FUNCTION % AXE})()")
    found: list[str] = []
    for dark in (False, True):
        await tab.look(dark=dark)
        told = "axe.run().then(it => it.violations.map(one => `${one.id}: ${one.nodes.map(n => n.html).join(' ')}`))"
        found += await tab.evaluate(told)
    await tab.look()
    return found


_AS_FUNCTION = "function(){%s\n}"


async def test_a_person_sees_sites_cameras_and_live_pictures(tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    async with fleet(tmp_path) as (system, _), chromium() as tab:
        await system.worker(model)
        agent = await system.edge("shop-7", dict.fromkeys(("door", "till", "yard", "ramp"), CAMERA))
        await tab.look()

        await tab.open(f"{system.url}/")
        await tab.until("document.activeElement?.id === 'token'", "the form waits for a token")
        assert await violations(tab) == []
        await tab.type("no-token")
        await tab.press("Enter")
        await tab.until("document.querySelector('[role=alert].error').textContent.length", "why it was refused is said")

        await log_in(tab, system, await system.token("*", "--scope", "view"))
        await tab.until(
            "document.querySelector('.row[data-severity=ok]')?.innerText.includes('4 of 4')", "a site is well", 60
        )
        assert await tab.evaluate("document.cookie") == ""  # no script can read it
        assert await tab.evaluate("JSON.stringify({...localStorage, ...sessionStorage})") == "{}"
        assert await violations(tab) == []

        # By keyboard: the skip link, the brand, two of the menu, log out, then the first site.
        await tab.evaluate("document.querySelector('.row a').focus()")
        await tab.press("Enter")
        await tab.until("document.querySelectorAll('.tile').length === 4", "the site's cameras")
        drawn = "document.querySelectorAll('.tile canvas[aria-label^=newest]').length === 4"
        await tab.until(drawn, "a picture of each camera", 60)
        playing = "[...document.querySelectorAll('.tile canvas')].filter(it => it.dataset.boxes).length === 4"
        await tab.until(playing, "all four play, with boxes", 60)
        await tab.until("document.querySelector('.uplink').innerText.includes('bridges')", "how long the spool lasts")
        assert await violations(tab) == []
        await tab.look(width=390, height=844)
        assert await tab.evaluate("document.documentElement.scrollWidth") <= 390

        await tab.evaluate("location.hash = '#/camera/shop-7/door'")
        screen = "document.querySelector('.screen canvas').dataset"
        first = await tab.until(f"{screen}.picture", "a live picture")
        await tab.until(f"{screen}.picture !== {first!r}", "it moves")
        assert await tab.evaluate("document.documentElement.scrollWidth") <= 390
        await tab.look()
        await tab.until(
            f"{screen}.boxes && {screen}.boxes === {screen}.picture", "boxes on the picture they were found in"
        )
        await tab.until("document.body.innerText.includes('from capture to glass')", "how old the picture is")
        figures = "document.querySelector('.figures').innerText"
        await tab.until(f"{figures}.includes('none: every chosen picture is sent')", "that there is no gate")
        await tab.until(f"/Sends\\s+(in full|fewer)/.test({figures})", "the ladder's step")
        await tab.until("document.querySelector('.verdict').textContent === 'The account closes.'", "the account")
        assert await violations(tab) == []
        await tab.press("Escape")
        await tab.until("location.hash === '#/site/shop-7'", "Escape goes up")
        await tab.evaluate("location.hash = '#/workers'")
        await tab.until("document.querySelector('.row')?.innerText.includes('keeps up')", "the worker")
        assert await violations(tab) == []

        # What it does without.
        await agent.stop()
        await tab.evaluate("location.hash = '#/'")
        await tab.until(
            "document.querySelector('.row[data-severity=down]')?.innerText.includes('uplink down since')",
            "so it says",
            60,
        )
        await tab.evaluate("location.hash = '#/camera/shop-7/till'")
        over = "document.querySelector('.screen .over').innerText"
        await tab.until(f"/^This picture is .* old/.test({over})", "that what came last is old", 30)
        assert not await tab.evaluate("document.body.innerText.includes('from capture to glass')")
        await system.parts[0].stop()
        await tab.until(
            "document.getElementById('stale').innerText.startsWith('Stale: no news for')", "that it is stale", 60
        )
        refused = [it for it in tab.said if "401" in it or "ERR_CONNECTION_REFUSED" in it or "Password forms" in it]
        assert [it for it in tab.said if it not in refused and "WebSocket connection" not in it] == []


async def test_another_sites_token_shows_none_of_these_cameras(tmp_path: Path) -> None:
    async with fleet(tmp_path) as (system, stores), chromium() as tab:
        await system.edge("shop-7", {"door": CAMERA})

        async def captured() -> bool:
            return (await system.ledger(stores, "shop-7/door")).captured > 0

        await wait_until(captured, 60, "the camera is known")
        await log_in(tab, system, await system.token("shop-8", "--scope", "view"))
        await tab.until("document.body.innerText.includes('No camera has been heard of yet')", "there is none")
        await tab.evaluate("location.hash = '#/camera/shop-7/door'")
        await tab.until(
            "document.body.innerText.includes('the token does not cover shop-7/door')", "nor by its address"
        )
        assert await tab.evaluate("document.querySelector('.screen canvas').dataset.picture") is None


async def test_a_browser_without_video_decoder_or_a_secure_address_says_so(tmp_path: Path) -> None:
    async with fleet(tmp_path) as (system, _), chromium() as tab:
        await system.edge("shop-7", {"door": CAMERA})
        await tab.call("Page.addScriptToEvaluateOnNewDocument", source="delete window.VideoDecoder")
        await log_in(tab, system, await system.token("shop-7", "--scope", "view"))
        await tab.until("!!document.querySelector('.row')", "the site", 60)
        await tab.evaluate("location.hash = '#/camera/shop-7/door'")
        await tab.until(
            "document.querySelector('.over')?.innerText.includes('cannot decode live video')", "why there is none"
        )
        await tab.until("document.querySelector('.ledger')?.innerText.includes('captured')", "its figures all the same")
