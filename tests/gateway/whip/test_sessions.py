"""What a WHIP session lives through: late candidates, restarts, other certificates, poisoned datagrams, and a client
that is gone; and what it leaves behind.
"""

import asyncio
import base64
import gc
import os
import random
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCCertificate, rtcdtlstransport
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL
from support import clips
from support.certificates import localhost_certificate
from support.gateways import gateway, logged
from support.rtp import rtp
from support.stores import wait_until
from support.whip_client import WhipClient, whip
from support.whip_http import CANDIDATE, PLAIN, Endpoint, Reply, answers_checks, check, fragment
from support.whip_keyed import Keyed

from fishladder.gateway.webrtc.peer import Peer
from fishladder.runtime.store import Stores
from fishladder.wire.bitstream import inspect
from fishladder.wire.entry import LoggedUnit
from fishladder.wire.unit import Codec, Flag

CAMERA = "shop-7/door"
PATH = f"/whip/{CAMERA}"


def h264() -> Iterator[bytes]:
    return cycle([one.payload for one in clips.plain()])


async def units(stores: Stores, more_than: int = 0, within_s: float = 20) -> list[LoggedUnit]:
    """Wait for more than so many in the log."""

    async def found() -> list[LoggedUnit]:
        entries = [entry for entry in await logged(stores, CAMERA) if isinstance(entry, LoggedUnit)]
        return entries if len(entries) > more_than else []

    return await wait_until(found, within_s)


def bare(offer: str) -> str:
    return re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", offer)


def one_port() -> dict[str, Any]:
    """Media settings with room for one session."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return {"udp_ports": str(free.getsockname()[1]), "addresses": ["127.0.0.1"]}


async def test_an_offer_without_candidates_connects_by_itself_and_takes_them_later(
    stores: Stores, tmp_path: Path
) -> None:
    async with (
        gateway(tmp_path, stores.urls) as it,
        whip(it.url + PATH, it.token("shop-7"), Codec.H264, h264(), fps=50, rewrite=bare) as client,
        Endpoint(it.url + PATH, it.token("shop-7")) as http,
    ):
        assert client.status == 201
        offer = client.peer.localDescription.sdp
        [ufrag, *_], [password, *_] = (re.findall(rf"a=ice-{name}:(\S+)", offer) for name in ("ufrag", "pwd"))
        told = fragment(CANDIDATE, ufrag=ufrag, password=password, mid="0")
        session = it.url + client.headers["Location"]
        assert (await http.patch(session, told, client.headers["ETag"])).status == 204
        await units(stores, 5)


async def test_video_flows_on_through_an_ice_restart(stores: Stores, tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, stores.urls) as it,
        whip(it.url + PATH, it.token("shop-7"), Codec.H264, h264(), fps=50) as client,
        Endpoint(it.url + PATH, it.token("shop-7")) as http,
    ):
        await units(stores, 5)
        session = it.url + client.headers["Location"]
        again = await http.patch(session, fragment(ufrag="newer", password="x" * 24), "*")
        assert again.status == 200
        before = len(await logged(stores, CAMERA))
        found = await units(stores, before + 20)
        assert {one.position.epoch for one in found} == {1}
        assert not any(one.header.seq != index + 1 for index, one in enumerate(found)), "nothing was lost"


async def test_the_same_restart_again_is_the_same_ice_session_until_the_client_is_in_it(
    stores: Stores, tmp_path: Path
) -> None:
    async with gateway(tmp_path, stores.urls) as it, Endpoint(it.url + PATH, it.token("shop-7")) as http:
        reply = await http.begin()
        asked = fragment(ufrag="newer", password="x" * 24)
        first, again = [await http.patch(reply.session, asked, "*") for _ in range(2)]
        assert (again.status, again.body, again.etag) == (200, first.body, first.etag)
        assert await check(again.told("candidate"), again.told("ice-ufrag")[0], again.told("ice-pwd")[0], "newer")
        known = await http.patch(reply.session, asked, "*")
        assert (known.status, known.body) == (204, "")


def rsa_certificate() -> RTCCertificate:
    key = rsa.generate_private_key(65537, 2048)
    return RTCCertificate(key, rtcdtlstransport.generate_certificate(key))  # type: ignore[arg-type]


async def test_a_client_with_an_rsa_certificate(stores: Stores, tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, stores.urls) as it,
        whip(it.url + PATH, it.token("shop-7"), Codec.H264, h264(), fps=50, certificate=rsa_certificate()),
    ):
        await units(stores, 5)


async def test_a_client_whose_first_flight_is_in_fragments(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Narrow(SSL.Connection):
        def set_connect_state(self) -> None:
            self.set_ciphertext_mtu(228)
            super().set_connect_state()

    monkeypatch.setattr(rtcdtlstransport.SSL, "Connection", Narrow)
    async with (
        gateway(tmp_path, stores.urls) as it,
        whip(it.url + PATH, it.token("shop-7"), Codec.H264, h264(), fps=50),
    ):
        await units(stores, 5)


async def test_a_client_that_only_waits_for_a_handshake(stores: Stores, tmp_path: Path) -> None:
    def passive(offer: str) -> str:
        return offer.replace("a=setup:actpass", "a=setup:passive")

    async with (
        gateway(tmp_path, stores.urls) as it,
        whip(it.url + PATH, it.token("shop-7"), Codec.H264, h264(), fps=50, rewrite=passive) as client,
    ):
        assert "a=setup:active" in client.body
        await units(stores, 5)


def without_sets(payload: bytes) -> bytes:
    nals = [nal for nal in re.split(rb"\x00\x00\x00?\x01", payload) if nal]
    return b"".join(b"\0\0\0\1" + nal for nal in nals if nal[0] & 31 not in (7, 8))


async def test_parameter_sets_told_in_sdp_alone_are_put_before_the_pictures(stores: Stores, tmp_path: Path) -> None:
    payloads = [one.payload for one in clips.plain()]
    sets = inspect(Codec.H264, payloads[0]).parameter_sets
    told = ",".join(base64.b64encode(nal).decode() for nal in sets.split(b"\0\0\0\1") if nal)
    bared = [without_sets(one) for one in payloads]
    assert not inspect(Codec.H264, bared[0]).complete

    def beside(offer: str) -> str:
        return offer.replace("packetization-mode=1", f"packetization-mode=1;sprop-parameter-sets={told}")

    async with (
        gateway(tmp_path, stores.urls) as it,
        whip(it.url + PATH, it.token("shop-7"), Codec.H264, cycle(bared), fps=50, rewrite=beside),
    ):
        found = await units(stores, 5)
    assert found[0].header.flags & Flag.CLEAN
    assert inspect(Codec.H264, found[0].data).clean


def places(client: WhipClient) -> list[tuple[str, int]]:
    lines = [line.split() for line in re.findall(r"a=candidate:(.*)", client.body)]
    return [(words[4], int(words[5])) for words in lines]


async def test_poisoned_datagrams_change_nothing(stores: Stores, tmp_path: Path) -> None:
    rng = random.Random(7)
    async with (
        gateway(tmp_path, stores.urls) as it,
        whip(it.url + PATH, it.token("shop-7"), Codec.H264, h264(), fps=50) as client,
    ):
        await units(stores, 5)
        heads = [b"", b"\x80\x60", b"\x80\xc8\x00\x06", b"\x16\xfe\xfd", b"\0\1\0\0\x21\x12\xa4\x42", b"\x15\xfe\xfd"]
        for host, port in places(client):
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as poison:
                for turn in range(600):
                    body = rng.randbytes(rng.choice([0, 1, 8, 40, 1200, 1600]))
                    poison.sendto(heads[turn % len(heads)] + body, (host, port))
        before = len(await logged(stores, CAMERA))
        found = await units(stores, before + 20)
        assert {one.position.epoch for one in found} == {1}


#: A record in plain text: handshake_failure, fatal.
ALERT = b"\x15\xfe\xfd" + bytes(8) + b"\0\x02\x02\x28"


@pytest.mark.parametrize("setup", ["actpass", "passive"])
async def test_strangers_cannot_end_a_session_that_is_being_set_up(stores: Stores, tmp_path: Path, setup: str) -> None:
    rng = random.Random(7)
    datagrams = [ALERT, *(b"\x16\xfe\xfd" + rng.randbytes(60) for _ in range(64)), b"\x80\x60" + bytes(40), ALERT]
    async with (
        gateway(tmp_path, stores.urls) as it,
        whip(
            it.url + PATH,
            it.token("shop-7"),
            Codec.H264,
            h264(),
            fps=50,
            rewrite=lambda text: text.replace("setup:actpass", f"setup:{setup}"),
        ) as client,
    ):
        assert client.status == 201

        async def connected() -> bool:
            for host, port in places(client):
                with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                    for data in datagrams:
                        stranger.sendto(data, (host, port))
            return client.connected

        await wait_until(connected)
        found = await units(stores, 5)
        assert {one.position.epoch for one in found} == {1}


async def test_a_client_of_ever_more_streams_is_let_go(stores: Stores, tmp_path: Path) -> None:
    pictures = (one.payload for one in cycle(clips.vp8()))
    async with (
        gateway(tmp_path, stores.urls) as it,
        whip(it.url + PATH, it.token("shop-7"), Codec.VP8, pictures, fps=50) as client,
        Endpoint(it.url + PATH, it.token("shop-7")) as http,
    ):
        await units(stores, 5)
        keyed, session = Keyed(client), it.url + client.headers["Location"]
        for ssrc in range(1, 100):
            assert await keyed.send(rtp(1, 1, b"\x10", ssrc=ssrc), control=False)
        await units(stores, len(await logged(stores, CAMERA)) + 5)

        async def gone() -> bool:
            with suppress(ConnectionError):  # it has been told already
                for ssrc in range(100, 400):
                    await keyed.send(rtp(1, 1, b"\x10", ssrc=ssrc), control=False)
            return (await http.patch(session, PLAIN, '"x"')).status == 404

        await wait_until(gone, 15)


async def test_a_session_is_over_when_its_token_is(stores: Stores, tmp_path: Path) -> None:
    """Whatever still comes; the token has some seconds left, by the leeway for clocks."""
    nearly = {"lifetime_s": 1, "now": time.time() - 6}
    async with (
        gateway(tmp_path, stores.urls) as it,
        whip(it.url + PATH, it.token("shop-7", **nearly), Codec.H264, h264(), fps=50) as client,
        Endpoint(it.url + PATH, it.token("shop-7")) as http,
    ):
        assert client.status == 201
        session = it.url + client.headers["Location"]

        async def over() -> bool:
            return (await http.patch(session, PLAIN, '"x"')).status == 404

        await wait_until(over, 20)


async def test_a_client_that_is_killed_is_let_go_within_seconds(stores: Stores, tmp_path: Path) -> None:
    made = localhost_certificate(tmp_path)
    script = Path(__file__).parents[2] / "support" / "whip_clients" / "pyav.py"
    async with gateway(tmp_path, stores.urls, limits={"connections_per_token": 1}) as it:
        token = it.token("shop-7")
        command = (sys.executable, str(script), it.url + PATH, token, str(made.cert), str(made.key))
        pushing = await asyncio.create_subprocess_exec(*command)
        try:
            await units(stores, 5)
            async with Endpoint(it.url + PATH, token) as http:
                assert (await http.post()).status == 429, "the only place is taken"
                pushing.send_signal(signal.SIGKILL)

                async def free() -> bool:
                    return (await http.post()).status == 201

                await wait_until(free, 12)
        finally:
            if pushing.returncode is None:
                pushing.kill()
            await pushing.wait()


async def test_who_asks_too_often_or_comes_when_all_is_full_is_told_when_to_come_again(
    stores: Stores, tmp_path: Path
) -> None:
    limits = {"whip_sessions": 1, "whip_burst": 3, "whip_posts_per_s": 0.1}
    async with (
        gateway(tmp_path, stores.urls, limits=limits) as it,
        Endpoint(it.url + "/whip/shop-7/a", it.token("shop-7")) as http,
        Endpoint(it.url + "/whip/shop-8/a", it.token("shop-8")) as other,
    ):
        await http.begin()
        full = await http.post()
        assert (full.status, full.kind) == (503, "application/problem+json")
        assert int(full.headers["Retry-After"]) > 0
        await http.post()
        hasty = await http.post()
        assert hasty.status == 429
        assert int(hasty.headers["Retry-After"]) > 0
        assert (await other.post()).status == 503, "another token has a rate of its own"


async def test_a_camera_that_begins_over_and_over_is_told_to_wait(stores: Stores, tmp_path: Path) -> None:
    limits = {"whip_burst": 1000, "whip_posts_per_s": 1000.0}
    media = one_port()
    async with (
        gateway(tmp_path, stores.urls, limits=limits, media=media) as it,
        Endpoint(it.url + PATH, it.token("shop-7")) as http,
    ):

        async def refused() -> Reply | None:
            reply = await http.post()
            if reply.status == 201:
                await http.ask("DELETE", reply.session)
            return reply if reply.status != 201 else None

        reply = await wait_until(refused, 60)
        assert (reply.status, reply.kind) == (429, "application/problem+json")
        assert int(reply.headers["Retry-After"]) > 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as now_mine:
            now_mine.bind((media["addresses"][0], int(media["udp_ports"])))


async def test_when_tokens_cannot_be_checked_it_is_503(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, Endpoint(it.url + PATH, it.token("shop-7")) as http:
        it.settings.keys_path.write_text("neither keys nor JSON")
        reply = await http.post()
        assert (reply.status, reply.kind) == (503, "application/problem+json")
        assert int(reply.headers["Retry-After"]) > 0


async def test_a_full_gateway_sends_on_to_another(stores: Stores, tmp_path: Path) -> None:
    full = {"limits": {"whip_sessions": 1}, "whip": {"overflow": "https://other.example/base/"}}
    async with gateway(tmp_path, stores.urls, **full) as it, Endpoint(it.url + PATH, it.token("shop-7")) as http:
        await http.begin()
        sent = await http.post()
        assert (sent.status, sent.headers["Location"]) == (307, f"https://other.example/base{PATH}")


async def test_without_a_free_port_it_is_503(stores: Stores, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        media = {"udp_ports": str(port), "addresses": ["127.0.0.1"]}
        async with (
            gateway(tmp_path, stores.urls, media=media) as it,
            Endpoint(it.url + PATH, it.token("shop-7")) as http,
        ):
            reply = await http.post()
            assert reply.status == 503
            assert str(port) in reply.body
            assert reply.headers["Retry-After"]


async def test_who_has_the_camera_keeps_it_when_there_is_no_port_for_another(stores: Stores, tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, stores.urls, media=one_port()) as it,
        whip(it.url + PATH, it.token("shop-7"), Codec.H264, h264(), fps=50),
        Endpoint(it.url + PATH, it.token("shop-7")) as http,
    ):
        before = len(await units(stores, 5))
        assert (await http.post()).status == 503
        found = await units(stores, before + 20)
        assert {one.position.epoch for one in found} == {1}


async def test_announced_addresses_stand_in_the_answer(stores: Stores, tmp_path: Path) -> None:
    media = {"announce": ["203.0.113.5"], "addresses": ["127.0.0.1"]}
    async with gateway(tmp_path, stores.urls, media=media) as it, Endpoint(it.url + PATH, it.token("shop-7")) as http:
        told = (await http.begin()).told("candidate")
        assert [line.split()[4] for line in told] == ["203.0.113.5"]


async def footprint() -> dict[str, int]:
    gc.collect()
    return {
        "threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        "tasks": len(asyncio.all_tasks()),
    }


async def test_sessions_that_have_ended_leave_nothing(stores: Stores, tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, stores.urls, limits={"whip_burst": 1000}) as it,
        Endpoint(it.url + PATH, it.token("shop-7")) as http,
    ):
        for _ in range(10):  # what is made once is made
            await http.ask("DELETE", (await http.begin()).session)
        before = await footprint()
        gc.disable()
        try:
            for _ in range(30):
                reply = await http.begin()
                assert await answers_checks(reply)
                assert (await http.ask("DELETE", reply.session)).status == 200
            alive = sum(isinstance(one, Peer) for one in gc.get_objects())
        finally:
            gc.enable()
        assert alive == 0, "freed at once, not when the collector gets round to it"

        async def as_before() -> bool:
            now = await footprint()  # the stores' pools may have a connection more, or fewer
            return all(now[what] <= before[what] + 4 for what in before)

        await wait_until(as_before)


async def test_dead_links_are_noticed_while_nothing_is_sent(stores: Stores, tmp_path: Path) -> None:
    """A session that connects and then hears nothing at all is over within `dead_s`."""
    async with (
        gateway(tmp_path, stores.urls, limits={"dead_s": 2.0}) as it,
        Endpoint(it.url + PATH, it.token("shop-7")) as http,
        whip(it.url + PATH, it.token("shop-7"), Codec.H264, h264(), fps=50) as client,
    ):
        await units(stores, 5)
        transport = client.peer.getTransceivers()[0].sender.transport.transport
        for protocol in transport._connection._protocols:
            protocol.transport.sendto = lambda *_: None
        silent = time.monotonic()
        session = it.url + client.headers["Location"]

        async def gone() -> bool:
            return (await http.patch(session, PLAIN, '"x"')).status == 404

        await wait_until(gone, 15)
        assert time.monotonic() - silent >= 1.4
