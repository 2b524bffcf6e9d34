"""What the live page shows of each kind of video, encoded as cameras send it, through the gateway, in Chromium."""

import asyncio
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest
from support.agent_client import AgentClient, agent
from support.chromium import chromium
from support.clips import Clip, av1, b_frames, h265, jpeg, plain, vp8, vp9
from support.gateways import gateway
from support.installed import needs_chromium

from fishladder.runtime.store import Stores
from fishladder.wire.bitstream import inspect
from fishladder.wire.unit import Codec, Flag, Unit

pytestmark = [
    needs_chromium,
    pytest.mark.timeout(300),
]


def clips() -> dict[str, tuple[Codec, Clip]]:
    return {
        "h264": (Codec.H264, plain()),
        "b-frames": (Codec.H264, b_frames()),
        "vp8": (Codec.VP8, vp8()),
        "vp9": (Codec.VP9, vp9()),
        "av1": (Codec.AV1, av1()),
        "jpeg": (Codec.JPEG, jpeg()),
        "h265": (Codec.H265, h265()),
    }


def units(codec: Codec, clip: Clip) -> list[tuple[bytes, int, Flag]]:
    return [(one.payload, one.pts_us, inspect(codec, one.payload).flags) for one in clip]


async def film(client: AgentClient, channels: Sequence[tuple[int, Codec, Clip]]) -> None:
    """Send the clips over and over, 10 pictures a second each."""
    prepared = [(channel, codec, units(codec, clip)) for channel, codec, clip in channels]
    for seq in count(1):
        for channel, codec, pictures in prepared:
            turn, place = divmod(seq - 1, len(pictures))
            payload, pts_us, flags = pictures[place]
            await client.send(
                channel,
                Unit(
                    epoch=1,
                    seq=seq,
                    codec=codec,
                    payload=payload,
                    flags=flags | Flag.SYNCED,
                    pts_us=pts_us + turn * 10_000_000,
                    duration_us=40_000,
                    wall_us=time.time_ns() // 1000,
                ),
            )
        await asyncio.sleep(0.1)


async def test_every_codec_the_browser_knows_plays_and_the_other_is_named(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client, chromium() as tab:
        channels = []
        for channel, (name, (codec, clip)) in enumerate(clips().items()):
            await client.open(f"shop-7/{name}", channel)
            channels.append((channel, codec, clip))
        filming = asyncio.create_task(film(client, channels))
        try:
            await tab.open(it.url)
            await tab.until("document.activeElement?.id === 'token'", "the form")
            await tab.type(it.token("shop-7", scope=["view"]))
            await tab.press("Enter")
            await tab.until("!!document.querySelector('.row')", "the site")
            for name in clips():
                await tab.evaluate(f"location.hash = '#/camera/shop-7/{name}'")
                await tab.until(f"document.querySelector('h1')?.textContent === '{name}'", "its page")
                if name == "h265":
                    says = "document.querySelector('.over').textContent.includes('this browser cannot decode H.265')"
                    await tab.until(says, "that it cannot be shown")
                    continue
                screen = "document.querySelector('.screen canvas').dataset.picture"
                first = await tab.until(screen, f"a picture of {name}")
                await tab.until(f"{screen} !== {first!r}", f"{name} moves")
                # No picture is shown out of its order.
                shown = await tab.evaluate(
                    "new Promise(done => { const seen = []; const timer = setInterval(() => {"
                    f"const at = Number({screen}.split('-')[1]); if (seen.at(-1) !== at) seen.push(at);"
                    "if (seen.length > 5) { clearInterval(timer); done(seen); } }, 5); })"
                )
                if name != "b-frames":  # whose order of decoding is another
                    assert shown == sorted(shown), name
            await tab.evaluate("location.hash = '#/site/shop-7'")
            drawn = (
                "[...document.querySelectorAll('.tile canvas')].filter(it => it.ariaLabel.startsWith('newest')).length"
            )
            await tab.until(f"{drawn} === {len(clips()) - 1}", "a picture of each but one")
            assert "cannot decode H.265" in await tab.text()
        finally:
            filming.cancel()
            await asyncio.gather(filming, return_exceptions=True)
