"""Spoilt offers and fragments over HTTP, and spoilt STUN, DTLS, RTP and RTCP to the ports of live sessions: RTP and
RTCP under a session's own keys, so that they get past them to the parsers. Tables what was answered, whether the
sessions still bring their video afterwards, and what is left of it all.

python tests/bench/whip_fuzz.py [--offers 2000] [--fragments 2000] [--datagrams 20000] [--seed 1] [--json FILE]
"""

import argparse
import asyncio
import json
import random
import re
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count, cycle
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from aioice import stun
from support import clips
from support.footprint import ALLOWED, footprint, leaks, settled
from support.gateways import Gateway, gateway
from support.malformed import damaged
from support.offers import AUDIO, VIDEO, offer
from support.rtp import rtp
from support.stores import temporary_pair, wait_until
from support.whip_client import WhipClient, whip
from support.whip_http import FRAGMENT, SDP, Endpoint, fragment, whole
from support.whip_keyed import Keyed

from fishladder.gateway.webrtc import rtcp
from fishladder.runtime.logs import configure_logging
from fishladder.runtime.store import Stores, open_stores
from fishladder.wire import keys
from fishladder.wire.ids import Position, partition_of
from fishladder.wire.unit import Codec

_LIMITS = {"whip_burst": 1_000_000, "whip_posts_per_s": 1e6, "connections_per_token": 1000, "silent_s": 3600}
_LINES = whole(offer(AUDIO, VIDEO)).split("\r\n")
_FRAGMENT = fragment("a=candidate:1 1 udp 1 192.0.2.7 9 typ host", "a=end-of-candidates").split("\r\n")
_UNITS = 20
_PAUSE_EVERY = 50
_OF_A_CAMERA = 20


class Counts:
    """Of one kind of fuzz: how many were sent, and what became of them."""

    def __init__(self) -> None:
        self.sent = 0
        self.outcomes: Counter[str] = Counter()

    def took(self, outcome: str) -> None:
        self.sent += 1
        self.outcomes[outcome] += 1


def spoilt(rng: random.Random, lines: list[str]) -> bytes:
    """A text with some lines lost, doubled, in another order, or damaged; sometimes no text at all."""
    if rng.random() < 0.05:
        return rng.randbytes(rng.randrange(400))
    made = [line.encode() for line in lines]
    for _ in range(rng.randint(0, 5)):
        at = rng.randrange(len(made) or 1)
        match rng.randrange(4):
            case 0:
                del made[at : at + 1]
            case 1:
                made.insert(at, rng.choice(lines).encode())
            case 2:
                made.insert(rng.randrange(len(made) + 1), made.pop(at) if made else b"")
            case _ if made:
                made[at] = damaged(rng, made[at])
    return b"\r\n".join(made)


async def http(rng: random.Random, it: Gateway, token: str, offers: int, fragments: int) -> dict[str, Counts]:
    """Fuzz the HTTP side; a session that stays gets the fragments."""
    found = {"SDP offers": Counts(), "SDP fragments": Counts()}
    async with (
        Endpoint(f"{it.url}/whip/lab/kept", token) as keeps,
        Endpoint(it.url, token) as fuzzed,
    ):
        for number in range(offers):  # one camera must not begin too often
            at = f"{it.url}/whip/lab/fuzzed-{number % (offers // _OF_A_CAMERA + 1)}"
            reply = await fuzzed.ask("POST", at, spoilt(rng, _LINES), {"Content-Type": SDP})
            found["SDP offers"].took(str(reply.status))
            if reply.status == 201:
                await fuzzed.ask("DELETE", reply.session)
        kept = await keeps.begin()  # now: no media comes of it, so it has `CONNECT_S` to live
        etag = kept.etag
        for _ in range(fragments):
            match = rng.choice([etag, etag, "*", '"x"', ""])
            headers = {"Content-Type": FRAGMENT, "If-Match": match}
            reply = await fuzzed.ask("PATCH", kept.session, spoilt(rng, _FRAGMENT), headers)
            found["SDP fragments"].took(str(reply.status))
            etag = reply.etag or etag
        last = await keeps.patch(kept.session, fragment(ufrag="last", password="y" * 24), "*")
        found["SDP fragments"].outcomes["the session lives" if last.status == 200 else "THE SESSION IS DEAD"] += 1
    return found


async def keyed(rng: random.Random, client: WhipClient, datagrams: int) -> dict[str, Counts]:
    found = {"RTP, encrypted": Counts(), "RTCP, encrypted": Counts()}
    it = Keyed(client)
    payloads = [one.payload for one in clips.vp8()][:4]
    messages = [
        rtcp._packet(rtcp.SR, 0, rng.randbytes(24)),
        rtcp.receiver_report(7, [rtcp.Block(7, 1, 2, 3, 4, 5, 6)]),
        rtcp.nack(7, 8, range(1, 90, 3)),
        rtcp._packet(rtcp.BYE, 1, b"\0\0\0\7"),
        rtcp.feedback(rtcp.RTPFB, rtcp.TRANSPORT_FEEDBACK, 7, 8, bytes(12)),
    ]
    seq = 0
    for number in range(datagrams):
        kind = rng.choice([it.vp8, it.vp8, it.vp8, it.rtx, rng.randrange(128)])
        ssrc = rng.choice([7, 7, 7, 8, rng.randrange(9, 60)])
        seq += rng.choice([1, 1, 1, 1, 2, 5, 600 if rng.random() < 0.01 else 1])  # libsrtp sends nothing twice
        head = rng.choice([b"", b"\x10", b"\x90\xe0\x81\x02\x03\x40", b"\0\1", rng.randbytes(3)])
        part = head + rng.choice(payloads)[: rng.choice([0, 1, 40, 1100])]
        known = {1: b"0", rng.randint(1, 14): rng.randbytes(rng.randint(1, 16))}
        timestamp, marker = rng.choice([number * 3000, rng.randrange(2**32)]), rng.random() < 0.5
        plain = rtp(seq, timestamp, part, marker=marker, kind=kind, ssrc=ssrc, extensions=known)
        if rng.random() < 0.8:  # what is before is libsrtp's
            plain = (
                bytes((plain[0] ^ rng.choice([0, 0, 0x20, rng.randrange(64)]),))
                + plain[1:12]
                + damaged(rng, plain[12:])
            )
        sent = await it.send(plain, control=False)
        found["RTP, encrypted"].took("sent" if sent else "not to be encrypted")
        if number % 4 == 0:
            message = rng.choice(messages)  # of one ssrc: ever new ones end the session
            message = damaged(rng, message[:4]).ljust(4, b"\x80")[:4] + b"\0\0\0\7" + damaged(rng, message[8:])
            sent = await it.send(message, control=True)
            found["RTCP, encrypted"].took("sent" if sent else "not to be encrypted")
        if number % _PAUSE_EVERY == 0:
            await asyncio.sleep(0.01)
    return found


async def whole_again(client: WhipClient) -> AsyncIterator[None]:
    """Sound video by the same client, as a sender that began anew, picture by picture."""
    it, seq, ssrc = Keyed(client), count(1), 0xF15B
    for number, one in enumerate(cycle(clips.vp8())):
        parts = [one.payload[at : at + 1000] for at in range(0, len(one.payload), 1000)]
        for index, part in enumerate(parts):
            begins, last = b"\x10" if not index else b"\0", index == len(parts) - 1
            packet = rtp(next(seq), number * 3600, begins + part, marker=last, kind=it.vp8, ssrc=ssrc)
            await it.send(packet, control=False)
        await asyncio.sleep(0.04)
        yield


async def strangers(rng: random.Random, client: WhipClient, datagrams: int) -> dict[str, Counts]:
    """Datagrams from an address the session has never heard of, to the port of one that is in use."""
    found = {kind: Counts() for kind in ("STUN", "STUN, authentic", "DTLS", "RTP, in the clear", "RTCP, in the clear")}
    ufrag, password = (re.findall(rf"a=ice-{name}:(\S+)", client.body)[0] for name in ("ufrag", "pwd"))
    words = re.findall(r"a=candidate:(.*)", client.body)[0].split()
    to = (words[4], int(words[5]))
    with socket.socket(socket.AF_INET6 if ":" in to[0] else socket.AF_INET, socket.SOCK_DGRAM) as by:
        for number in range(datagrams):
            kind = rng.choice(list(found))
            match kind:
                case "STUN":
                    data = damaged(rng, check(rng, ufrag, password))
                case "STUN, authentic":  # but senseless
                    data = check(rng, rng.choice([ufrag, "", "x" * 300]), password, odd=True)
                case "DTLS":
                    data = damaged(rng, b"\x16\xfe\xfd" + bytes(8) + b"\0\x40\1" + rng.randbytes(63))
                case "RTP, in the clear":
                    data = damaged(rng, rtp(number, number, rng.randbytes(rng.randrange(1200))))
                case _:
                    data = damaged(rng, rtcp.receiver_report(7) + rtcp.pli(7, 8))
            by.sendto(data, to)
            found[kind].took("sent")
            if number % _PAUSE_EVERY == 0:
                await asyncio.sleep(0.01)
    return found


def check(rng: random.Random, ufrag: str, password: str, *, odd: bool = False) -> bytes:
    """A STUN check; an odd one has attributes that make no sense in it, and none that it should have."""
    request = stun.Message(
        rng.choice(list(stun.Method)) if odd else stun.Method.BINDING,
        rng.choice(list(stun.Class)) if odd else stun.Class.REQUEST,
    )
    request.attributes["USERNAME"] = f"{ufrag}:theirs"
    if not odd:
        request.attributes["PRIORITY"] = rng.randrange(2**32)
        request.attributes["ICE-CONTROLLING"] = rng.randrange(2**64)
    elif rng.random() < 0.5:
        request.attributes["ICE-CONTROLLED"] = 0
        request.attributes["XOR-MAPPED-ADDRESS"] = ("192.0.2.9", rng.randrange(65_536))
    request.add_message_integrity(password.encode())
    return bytes(request)


async def position(stores: Stores, camera: str) -> int:
    """Number of the last unit in a camera's log."""
    last = await stores.frames.xrevrange(keys.log(partition_of(camera, stores.partitions), camera), count=1)
    return Position.parse(last[0][0]).seq if last else 0


@asynccontextmanager
async def sending(
    it: Gateway, stores: Stores, token: str, camera: str, *, most: int | None
) -> AsyncIterator[WhipClient]:
    """A client whose video has arrived; it ends after `most` pictures."""
    pictures = (one.payload for one in cycle(clips.vp8()))
    payloads = pictures if most is None else (picture for picture, _ in zip(pictures, range(most), strict=False))
    async with whip(f"{it.url}/whip/{camera}", token, Codec.VP8, payloads) as client:

        async def arrives() -> bool:
            return await position(stores, camera) > _UNITS // 2

        await wait_until(arrives, 30)
        yield client


async def fuzz(rng: random.Random, it: Gateway, stores: Stores, told: argparse.Namespace) -> dict[str, Counts]:
    """All of it once, beside a session that must not notice."""
    token = it.token("lab")
    async with AsyncExitStack() as stack:
        steady = await stack.enter_async_context(sending(it, stores, token, "lab/steady", most=None))
        victim = await stack.enter_async_context(sending(it, stores, token, "lab/victim", most=_UNITS))
        await victim.track.over.wait()
        found = await http(rng, it, token, told.offers, told.fragments)
        found |= await strangers(rng, steady, told.datagrams)
        found |= await keyed(rng, victim, told.datagrams)
        await asyncio.sleep(1)  # a sender that begins anew was silent for a moment
        for camera, anew in (("lab/victim", whole_again(victim)), ("lab/steady", None)):
            before = await position(stores, camera)
            for _ in range(200):
                await (asyncio.sleep(0.04) if anew is None else anext(anew))
                if await position(stores, camera) > before + _UNITS:
                    break
            alive = await position(stores, camera) > before + _UNITS
            found[f"video of {camera}"] = Counts()
            found[f"video of {camera}"].took("goes on" if alive else "IS DEAD")
    return found


async def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--offers", type=int, default=2000)
    options.add_argument("--fragments", type=int, default=2000)
    options.add_argument("--datagrams", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--json", type=Path)
    told = options.parse_args()
    configure_logging("critical")
    rng = random.Random(told.seed)
    with tempfile.TemporaryDirectory() as place:
        async with (
            temporary_pair() as urls,
            open_stores(urls) as stores,
            gateway(Path(place), urls, limits=_LIMITS, log_level="critical") as it,
        ):
            once = argparse.Namespace(offers=200, fragments=200, datagrams=2000)
            await fuzz(rng, it, stores, once)  # what is made once is made
            before = footprint()
            found = await fuzz(rng, it, stores, told)
            after = await settled(before)
    bad = leaks(before, after)
    for kind, counts in found.items():
        bad += [f"{kind}: {what}" for what in counts.outcomes if what.startswith("5") or what.isupper()]
        told_of = ", ".join(f"{what} {number}" for what, number in sorted(counts.outcomes.items()))
        print(f"{kind:<22}{counts.sent:>8}  {told_of}")
    for what, allowed in ALLOWED.items():
        print(f"{what:<22}{before[what]:>8} before, {after[what]} after (at most +{allowed})")
    print(f"not as it should be: {', '.join(bad)}" if bad else "all as it should be")
    if told.json:
        said = {kind: {"sent": counts.sent, **counts.outcomes} for kind, counts in found.items()}
        told.json.write_text(json.dumps({"fuzzed": said, "before": before, "after": after}, indent=1) + "\n")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
