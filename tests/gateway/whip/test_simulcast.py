"""A client of several encodings that only their ssrcs tell apart, over a link that carries the largest now and then.
Both are a real aiortc sender's, which makes a keyframe at first and whenever it is asked for one.
"""

import asyncio
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from aioice import ice
from aiortc import RTCRtpSender
from aiortc.mediastreams import MediaStreamTrack
from support.decoding import decode
from support.gateways import gateway, logged
from support.stores import wait_until
from support.whip_client import WhipClient, whip

from fishladder.runtime.store import Stores
from fishladder.wire.entry import LoggedUnit
from fishladder.wire.unit import Codec, Flag

CAMERA = "shop-7/door"
FPS = 15
SMALL_SSRC = 4_000_000_001


class Picture(MediaStreamTrack):
    """Pictures of one size, as long as `on` is set."""

    kind = "video"

    def __init__(self, width: int, height: int) -> None:
        super().__init__()
        self.on = asyncio.Event()
        self.on.set()
        self._shape = (height * 3 // 2, width)
        self._random = np.random.default_rng(7)
        self._began = asyncio.get_running_loop().time()

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(1 / FPS)
        await self.on.wait()
        picture = self._random.integers(0, 255, self._shape, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = round((asyncio.get_running_loop().time() - self._began) * 90_000)
        frame.time_base = Fraction(1, 90_000)
        return frame


def with_smaller(offer: str) -> str:
    """The offer says that there is another encoding than the one aiortc knows of."""
    [large] = {line.split()[0] for line in offer.split("a=ssrc:")[1:]}
    return f"{offer}a=ssrc-group:SIM {SMALL_SSRC} {large}\r\na=ssrc:{SMALL_SSRC} cname:x\r\n"


async def second_sender(client: WhipClient, track: Picture) -> RTCRtpSender:
    """Send in a stream of its own, beside the first."""
    [first] = client.peer.getTransceivers()
    sender = RTCRtpSender(track, first.sender.transport)
    sender._ssrc = SMALL_SSRC
    await sender.send(client.peer._RTCPeerConnection__localRtp(first))  # type: ignore[attr-defined]
    return sender


async def test_the_small_encoding_is_taken_while_the_large_one_does_not_come(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Over loopback alone: interfaces of others may go away meanwhile.
    monkeypatch.setattr(ice, "get_host_addresses", lambda **_: ["127.0.0.1"])
    large, small = Picture(160, 128), Picture(80, 64)

    async def units() -> list[LoggedUnit]:
        return [entry for entry in await logged(stores, CAMERA) if isinstance(entry, LoggedUnit)]

    async def taken(width: int) -> bool:
        found = await units()
        return len(found) > 8 and {one.header.width for one in found[-8:]} == {width}

    async with (
        gateway(tmp_path, stores.urls, media={"addresses": ["127.0.0.1"]}) as it,
        whip(
            f"{it.url}/whip/{CAMERA}", it.token("shop-7"), Codec.VP8, iter(()), fps=FPS, rewrite=with_smaller
        ) as client,
    ):
        client.peer.getSenders()[0].replaceTrack(large)
        await wait_until(lambda: client.connected)
        sender = await second_sender(client, small)
        try:
            await wait_until(lambda: taken(160), every_s=0.1)
            large.on.clear()
            await wait_until(lambda: taken(80), 20, every_s=0.1)
            large.on.set()
            await wait_until(lambda: taken(160), 20, every_s=0.1)
        finally:
            await sender.stop()
    entries = await logged(stores, CAMERA)
    found = await units()
    widths = [one.header.width for one in found]
    changes = [index for index in range(1, len(found)) if widths[index] != widths[index - 1]]
    assert [widths[0], *(widths[index] for index in changes)] == [160, 80, 160]
    assert all(found[index].header.flags & Flag.CLEAN for index in (0, *changes))
    seqs = [one.header.seq for one in found]
    assert seqs == list(range(seqs[0], seqs[0] + len(found))), "from the first picture on nothing was given up"
    assert len(entries) - len(found) <= 2, "nor was anything declared but what came before it"
    times = [one.header.wall_us for one in found]
    assert all(later > earlier for earlier, later in pairwise(one.header.pts_us for one in found))
    assert max(later - earlier for earlier, later in pairwise(times)) > 1_500_000, "the large one was waited for"
    assert min(later - earlier for earlier, later in pairwise(times)) > -100_000, "one clock for both"
    assert len(decode(Codec.VP8, [(one.header.seq, bytes(one.data)) for one in found]).images) == len(found)
