"""WHIP from a client's side: its units reach the log as they were encoded, and what cannot be taken is said."""

import asyncio
import re
import sys
from collections.abc import Callable, Iterator
from itertools import chain, cycle, islice
from pathlib import Path

import aiohttp
import pytest
from support import clips
from support.certificates import localhost_certificate
from support.gateways import Gateway, gateway, ledger, logged, settle
from support.stores import wait_until
from support.whip_client import WhipClient, whip
from support.whip_http import PLAIN

from fishladder.runtime.state import record_position
from fishladder.runtime.store import Stores
from fishladder.wire.bitstream import inspect
from fishladder.wire.entry import EpochStart, LoggedUnit
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position, partition_of
from fishladder.wire.unit import Clock, Codec, Flag, Range

CAMERA = "shop-7/door"
PATH = f"/whip/{CAMERA}"
OFFER = {"Content-Type": "application/sdp"}


def nals(codec: Codec, payload: bytes) -> list[bytes]:
    """A unit's parts, whatever the length of the start codes between them."""
    return re.split(rb"\x00\x00\x00?\x01", payload) if codec is Codec.H264 else [payload]


def h264() -> Iterator[bytes]:
    """A clip over and over; its units refer to nothing before its first."""
    return cycle([one.payload for one in clips.plain()])


async def until_logged(stores: Stores, where: Callable[[list[LoggedUnit]], bool]) -> list[LoggedUnit]:
    """Wait until the log's units are as wanted."""

    async def found() -> list[LoggedUnit]:
        units = [entry for entry in await logged(stores, CAMERA) if isinstance(entry, LoggedUnit)]
        return units if where(units) else []

    return await wait_until(found, 20)


async def closed_ledger(stores: Stores) -> dict[Fate, int]:
    """Settle everything; the ledger must close with nothing pending."""

    async def settled() -> bool:
        await settle(stores, CAMERA)
        return (await ledger(stores, CAMERA)).pending == 0

    await wait_until(settled)
    found = await ledger(stores, CAMERA)
    assert found.closes
    return found.fates


@pytest.mark.parametrize(
    ("codec", "profile"), [(Codec.H264, None), (Codec.H264, "640c1f"), (Codec.H264, "4d0028"), (Codec.VP8, None)]
)
async def test_every_unit_reaches_the_log_as_it_was_encoded(
    codec: Codec, profile: str | None, stores: Stores, tmp_path: Path
) -> None:
    clip = clips.plain() if codec is Codec.H264 else clips.vp8()
    payloads = [one.payload for one in clip]
    async with gateway(tmp_path, stores.urls) as it:
        token = it.token("shop-7", cameras=["door"])
        async with whip(it.url + PATH, token, codec, iter(payloads), fps=50, profile=profile) as client:
            assert client.status == 201, client.body
            assert "a=setup:passive" in client.body
            # The last one too, though no packet follows it.
            units = await until_logged(stores, lambda found: len(found) >= len(payloads))
    assert [nals(codec, bytes(one.data)) for one in units] == [nals(codec, payload) for payload in payloads]
    assert [one.header.seq for one in units] == list(range(1, len(payloads) + 1))
    assert all(one.header.codec is codec for one in units)
    assert units[0].header.flags & Flag.CLEAN
    assert (units[0].header.width, units[0].header.height) != (0, 0)
    assert {one.header.duration_us for one in units[1:]} == {20_000}
    assert all(abs(one.stamp.received_us - one.stamp.captured_us) < 1_000_000 for one in units)
    assert await closed_ledger(stores) == {Fate.INFERRED: len(payloads)}


async def test_times_are_the_clients_own_once_it_has_told_them(stores: Stores, tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, stores.urls) as it,
        whip(it.url + PATH, it.token("shop-7"), Codec.H264, h264(), fps=50) as client,
    ):
        assert client.status == 201
        units = await until_logged(stores, lambda found: bool(found) and found[-1].header.clock is Clock.CAMERA)
    assert units[0].header.clock is Clock.GATEWAY
    assert units[-1].header.flags & Flag.SYNCED
    assert abs(units[-1].header.wall_us - units[-1].stamp.received_us) < 2_000_000
    assert units[-1].stamp.captured_us <= units[-1].stamp.received_us


async def test_what_cannot_be_decoded_at_the_start_is_shed(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        late = chain(islice(h264(), 3, None))
        async with whip(it.url + PATH, it.token("shop-7"), Codec.H264, late, fps=50) as client:
            assert client.status == 201
            units = await until_logged(stores, lambda found: len(found) > 5)
        assert units[0].header.flags & Flag.CLEAN
        shed = [entry for entry in await logged(stores, CAMERA) if isinstance(entry, Range)]
        before = [seq for it in shed if it.fate is Fate.SHED for seq in range(it.first, it.last + 1)]
        assert before == list(range(1, units[0].header.seq))
    fates = await closed_ledger(stores)
    assert fates[Fate.SHED] >= len(before)


async def test_parameter_sets_that_came_once_are_put_before_each_clean_point(stores: Stores, tmp_path: Path) -> None:
    payloads = [one.payload for one in clips.plain()]
    sets = inspect(Codec.H264, payloads[0]).parameter_sets
    bare = b"".join(b"\0\0\0\1" + nal for nal in nals(Codec.H264, payloads[0]) if nal and nal not in sets)
    assert not inspect(Codec.H264, bare).complete
    stream = chain(payloads, cycle([bare, *payloads[1:]]))
    async with gateway(tmp_path, stores.urls) as it:
        async with whip(it.url + PATH, it.token("shop-7"), Codec.H264, stream, fps=50) as client:
            assert client.status == 201
            size = len(payloads)
            units = await until_logged(stores, lambda found: len(found) > size + 2)
        assert all(inspect(Codec.H264, one.data).clean for one in units if one.header.flags & Flag.CLEAN)
        assert units[size].header.flags & Flag.CLEAN


async def test_a_log_that_was_lost_is_declared_and_begun_anew(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        async with whip(it.url + PATH, it.token("shop-7"), Codec.H264, h264(), fps=50) as client:
            assert client.status == 201
            await until_logged(stores, lambda found: len(found) > 10)
            await settle(stores, CAMERA)
            settled = (await ledger(stores, CAMERA)).cursor.seq
            await until_logged(stores, lambda found: found[-1].header.seq > settled + 10)
            await stores.frames.flushall()
            units = await until_logged(stores, lambda found: len(found) > 10)
            assert units[0].header.flags & Flag.CLEAN
        first = (await logged(stores, CAMERA))[0]
        assert isinstance(first, Range)
        assert (first.first, first.fate) == (settled + 1, Fate.LOG_LOST)
        assert first.last >= settled + 10
    fates = await closed_ledger(stores)
    assert fates[Fate.LOG_LOST] == first.last - first.first + 1


async def test_without_room_units_are_shed_up_to_a_clean_point(stores: Stores, tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, stores.urls) as it,
        whip(it.url + PATH, it.token("shop-7"), Codec.H264, h264(), fps=50) as client,
    ):
        await until_logged(stores, lambda found: len(found) > 5)
        await stores.frames.config_set("maxmemory", "1mb")
        sent = len(client.track.sent)
        await wait_until(lambda: len(client.track.sent) > sent + 50)
        await stores.frames.config_set("maxmemory", "64mb")
        before = len(await logged(stores, CAMERA))
        await until_logged(stores, lambda found: len(found) > before + 10)
    assert sum((await closed_ledger(stores)).values()) >= sent + 50


async def test_the_end_of_a_session_is_recorded_and_the_next_one_is_another_epoch(
    stores: Stores, tmp_path: Path
) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        for epoch in (1, 2):
            async with whip(it.url + PATH, it.token("shop-7"), Codec.H264, h264(), fps=50) as client:
                await until_logged(stores, lambda found, epoch=epoch: bool(found) and found[-1].position.epoch == epoch)  # type: ignore[misc]
                await asyncio.sleep(0.2)
                assert await status(it, "DELETE", client.headers["Location"], it.token("shop-8")) == 404
                assert await status(it, "DELETE", client.headers["Location"], it.token("shop-7")) == 200
                assert await status(it, "DELETE", client.headers["Location"], it.token("shop-7")) == 404
        entries = await logged(stores, CAMERA)
        assert [entry.epoch for entry in entries if isinstance(entry, EpochStart)] == [1, 2]
    await closed_ledger(stores)


async def test_what_a_gateway_numbered_and_did_not_log_before_it_died_is_its_loss(
    stores: Stores, tmp_path: Path
) -> None:
    """Whoever pushes by WHIP has no memory that could have lost it."""
    partition = partition_of(CAMERA, stores.partitions)
    async with gateway(tmp_path, stores.urls) as it:
        for epoch in (1, 2):
            async with whip(it.url + PATH, it.token("shop-7"), Codec.H264, h264(), fps=50):
                await until_logged(stores, lambda found, epoch=epoch: bool(found) and found[-1].position.epoch == epoch)  # type: ignore[misc]
            await settle(stores, CAMERA)
            if epoch == 1:
                last = (await ledger(stores, CAMERA)).cursor
                await record_position(stores.state, partition, CAMERA, Position(1, last.seq + 7), 1)
    assert (await closed_ledger(stores))[Fate.LOG_LOST] == 7


async def test_a_second_client_takes_the_camera_over(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        token = it.token("shop-7")
        async with whip(it.url + PATH, token, Codec.H264, h264(), fps=50) as first:
            await until_logged(stores, lambda found: len(found) > 3)
            async with whip(it.url + PATH, token, Codec.H264, h264(), fps=50):
                await until_logged(stores, lambda found: found[-1].position.epoch == 2)

                async def gone() -> bool:
                    return await status(it, "DELETE", first.headers["Location"], token) == 404

                await wait_until(gone)
    await closed_ledger(stores)


#: A process of its own: libav holds the interpreter while it talks to the gateway. The certificate it would make for
#: itself is of a curve that current OpenSSL does not take.
FFMPEG = """
import sys, time
from fractions import Fraction
import av
url, token, cert, key = sys.argv[1:]
with av.open(url, "w", format="whip", options={"authorization": token, "cert_file": cert, "key_file": key}) as out:
    stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "tune": "zerolatency"})
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
    stream.codec_context.max_b_frames = 0
    for index in range(40):
        picture = av.VideoFrame(320, 240, "yuv420p")
        picture.pts, picture.time_base = index, Fraction(1, 25)
        for packet in stream.encode(picture):
            out.mux(packet)
        time.sleep(0.02)
"""


async def test_ffmpegs_own_whip_muxer(stores: Stores, tmp_path: Path) -> None:
    cert, key = localhost_certificate(tmp_path)
    async with gateway(tmp_path, stores.urls) as it:
        arguments = (it.url + PATH, it.token("shop-7"), str(cert), str(key))
        pushing = await asyncio.create_subprocess_exec(sys.executable, "-c", FFMPEG, *arguments)
        assert await asyncio.wait_for(pushing.wait(), 30) == 0
        units = await until_logged(stores, lambda found: len(found) >= 39)
        assert units[0].header.flags & Flag.CLEAN
    assert set(await closed_ledger(stores)) <= {Fate.INFERRED, Fate.SHED}


async def status(it: Gateway, method: str, path: str, token: str | None, **request: object) -> int:
    code, _, _ = await ask(it, method, path, token, **request)
    return code


async def ask(
    it: Gateway, method: str, path: str, token: str | None, **request: object
) -> tuple[int, str, dict[str, str]]:
    headers = {**(request.pop("headers", None) or {}), **({"Authorization": f"Bearer {token}"} if token else {})}  # type: ignore[dict-item]
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, it.url + path, headers=headers, **request) as reply,  # type: ignore[arg-type]
    ):
        return reply.status, await reply.text(), dict(reply.headers)


async def test_who_may_not_is_told_before_anything_is_read(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        async with whip(it.url + PATH, None, Codec.H264, h264()) as client:
            assert client.status == 401
            assert client.headers["WWW-Authenticate"] == "Bearer"
        async with whip(it.url + PATH, it.token("shop-8"), Codec.H264, h264()) as client:
            assert client.status == 403
            assert CAMERA in client.body
        async with whip(it.url + PATH, it.token("shop-7", cameras=["yard"]), Codec.H264, h264()) as client:
            assert client.status == 403
        assert await status(it, "POST", PATH, None, data=b"x" * 10_000_000) == 401
        assert await status(it, "DELETE", PATH + "/guess", None) == 401
        assert await logged(stores, CAMERA) == []


AUDIO_ONLY = """v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=rtcp-mux
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 00:00
a=setup:actpass
a=rtpmap:111 opus/48000/2
"""


LONG = "9" * 5000  # more digits than Python reads
SIMULCAST = "a=rid:x send max-width={width}\r\na=simulcast:send x\r\n"


async def test_offers_that_will_not_do_are_4xx_with_a_reason(stores: Stores, tmp_path: Path) -> None:
    video = AUDIO_ONLY.replace("audio", "video").replace("opus/48000/2", "H265/90000")
    cases: list[tuple[dict[str, str], bytes, int, str]] = [
        ({"Content-Type": "application/json"}, b"{}", 415, "application/sdp"),
        ({}, b"v=0", 415, "application/sdp"),
        (OFFER, b"", 400, "v=0"),
        (OFFER, b"\xff\xfe", 400, "UTF-8"),
        (OFFER, b"hello, is this a phone?", 400, "not a line of SDP"),
        (OFFER, b"v=0\r\nm=video banana", 400, "cannot be used"),
        (OFFER, PLAIN.replace("m=video 9 ", f"m=video {LONG} ").encode(), 400, "port in an m= line"),
        (OFFER, (PLAIN + SIMULCAST.format(width=LONG)).encode(), 400, "max-width"),
        (OFFER, (PLAIN + f"a=candidate:1 1 udp {LONG} 192.0.2.7 9 typ host\r\n").encode(), 400, "priority"),
        (OFFER, AUDIO_ONLY.encode(), 422, "no video"),
        (OFFER, video.encode(), 422, "H.264 and VP8"),
        (OFFER, b"x" * 100_000, 413, ""),
    ]
    async with gateway(tmp_path, stores.urls) as it:
        token = it.token("shop-7")
        for headers, body, code, reason in cases:
            got, text, _ = await ask(it, "POST", PATH, token, data=body, headers=headers)
            assert (got, reason in text) == (code, True), (body[:40], got, text)
        assert await status(it, "POST", "/whip/Shop 7/door", token, data=b"v=0", headers=OFFER) == 400
        assert await status(it, "PATCH", PATH + "/x", token) == 404
        assert await logged(stores, CAMERA) == []


async def test_pages_from_anywhere_may_ask(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        code, _, headers = await ask(it, "OPTIONS", PATH, None, headers={"Origin": "https://example.org"})
        assert code == 200
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert "Authorization" in headers["Access-Control-Allow-Headers"]
        assert headers["Accept-Post"] == "application/sdp"
        _, _, headers = await ask(it, "POST", PATH, None)
        assert headers["Access-Control-Allow-Origin"] == "*"


async def test_a_client_that_vanishes_is_let_go(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls, limits={"silent_s": 1.5, "connections_per_token": 1}) as it:
        gone: list[WhipClient] = []
        async with whip(it.url + PATH, it.token("shop-7"), Codec.H264, islice(h264(), 20), fps=50) as client:
            await until_logged(stores, lambda found: len(found) >= 19)
            gone.append(client)

            async def let_go() -> bool:
                return await status(it, "DELETE", client.headers["Location"], it.token("shop-7")) == 404

            await wait_until(let_go, 10)
        async with whip(it.url + PATH, it.token("shop-7"), Codec.H264, h264()) as client:
            assert client.status == 201  # its place is free again
    await closed_ledger(stores)
