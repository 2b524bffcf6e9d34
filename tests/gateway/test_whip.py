"""WHIP from a client's side: its units reach the log as they were encoded, and what cannot be taken is said."""

import re
from pathlib import Path

import pytest
from support import clips
from support.gateways import gateway, logged
from support.stores import wait_until
from support.whip_client import whip

from fishladder.runtime.store import Stores
from fishladder.wire.entry import LoggedUnit
from fishladder.wire.unit import Clock, Codec, Flag

CAMERA = "shop-7/door"


def nals(codec: Codec, payload: bytes) -> list[bytes]:
    """A unit's parts, whatever the length of the start codes between them."""
    return re.split(rb"\x00\x00\x00?\x01", payload) if codec is Codec.H264 else [payload]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8])
async def test_every_unit_reaches_the_log_as_it_was_encoded(codec: Codec, stores: Stores, tmp_path: Path) -> None:
    clip = clips.plain() if codec is Codec.H264 else clips.vp8()
    payloads = [one.payload for one in clip]

    async with gateway(tmp_path, stores.urls) as it:
        url = f"{it.url}/whip/{CAMERA}"
        async with whip(url, it.token("shop-7"), codec, iter(payloads), fps=50) as client:
            assert client.status == 201, client.body
            await wait_until(lambda: len(client.track.sent) == len(payloads), 20)

            async def all_logged() -> bool:
                return sum(isinstance(entry, LoggedUnit) for entry in await logged(stores, CAMERA)) >= len(payloads)

            await wait_until(all_logged, 10)
        _, *entries = await logged(stores, CAMERA)
        units = [entry for entry in entries if isinstance(entry, LoggedUnit)]
        assert [nals(codec, bytes(entry.data)) for entry in units] == [nals(codec, payload) for payload in payloads]
        assert [entry.header.seq for entry in units] == list(range(1, len(payloads) + 1))
        assert all(entry.header.clock is Clock.GATEWAY and entry.header.codec is codec for entry in units)
        assert units[0].header.flags & Flag.CLEAN
        assert (units[0].header.width, units[0].header.height) != (0, 0)
        assert {entry.header.duration_us for entry in units[1:]} == {20_000}
