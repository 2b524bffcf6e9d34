"""Attempts at the gateway's door by those who should not get through it. Each is done once a call, and says what came
of it: a status, a refusal's code, or how it was hung up on.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import aiohttp
import jwt
from support.agent_client import agent, unit
from support.whip_client import whip

from fishladder.gateway.tokens import KeyFile, Scope, issue, verify
from fishladder.wire.framing import MAX_MESSAGE_BYTES, fragments
from fishladder.wire.messages import CameraHello
from fishladder.wire.unit import Codec

SITE, CAMERA = "shop-7", "shop-7/door"
_TOO_LATE_S = 30.0


@dataclass
class Door:
    """A gateway to try: its address and, to make tokens, its keys. `hello_s` and `crowd` as it was told to."""

    url: str
    port: int
    keys: KeyFile
    hello_s: float = 10.0
    crowd: int = 10_000
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def token(
        self, site: str = SITE, *, cameras: str = "*", scope: Scope = "publish", made: float | None = None
    ) -> str:
        """Of a new subject each, so that no attempt uses up what the next one may."""
        now = time.time() if made is None else made
        told = {
            "subject": f"x{next(self.numbers)}",
            "cameras": [cameras],
            "scope": [scope],
            "lifetime_s": 3600,
            "now": now,
        }
        return issue(self.keys, site=site, **told)  # type: ignore[arg-type]

    async def uplink(self, token: str | None) -> str:
        try:
            async with agent(self.url, token):
                return "let in"
        except aiohttp.WSServerHandshakeError as refused:
            return str(refused.status)

    async def camera(self, camera: str, token: str) -> str:
        """What a hello for a camera is answered with."""
        async with agent(self.url, token) as client:
            welcome = await client.hello(CameraHello(camera, 0))
            return welcome.refused[0].code if welcome.refused else "let in"

    async def http(self, method: str, path: str, token: str | None, **more: object) -> str:
        headers = {"Content-Type": "application/sdp"} | ({"Authorization": f"Bearer {token}"} if token else {})
        url = aiohttp.client.URL(self.url + path, encoded=True)
        async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers, **more) as reply:  # type: ignore[arg-type]
            return str(reply.status)

    async def raw(self, said: bytes) -> str:
        """What comes back for some bytes, until the gateway hangs up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(said)
            async with asyncio.timeout(_TOO_LATE_S):
                got = await reader.read(4096)
                with contextlib.suppress(ConnectionError):
                    await reader.read()  # until the gateway is through with it
            return got.split()[1].decode() if got else "hung up"
        except ConnectionError:
            return "hung up"
        finally:
            writer.close()


Attempt = Callable[[Door], Awaitable[str]]


def _forged(door: Door, header: dict[str, str], secret: str, algorithm: str) -> str:
    claims = {"sub": "x", "site": SITE, "exp": int(time.time()) + 3600}
    return jwt.encode(claims, secret, algorithm=algorithm, headers=header)


async def revoked(door: Door) -> str:
    token = door.token()
    door.keys.register.revoke([verify(door.keys, token).id], time.time())
    return await door.uplink(token)


async def alg_none(door: Door) -> str:
    kid = next(iter(door.keys.keys()))
    return await door.uplink(_forged(door, {"kid": kid}, "", "none"))


async def swapped_kid(door: Door) -> str:
    """Signed with one key of the gateway's, named as another."""
    first = next(iter(door.keys.keys()))
    other = door.keys.rotate()
    token = _forged(door, {"kid": other}, door.keys.keys()[first], "HS256")
    return await door.uplink(token)


async def replayed_session(door: Door) -> str:
    """A WHIP session's URL with another site's token, another camera's, and again after its end."""
    async with whip(f"{door.url}/whip/{CAMERA}-w", door.token(), Codec.H264, iter(())) as client:
        assert client.status == 201, client.body
        where = client.headers["Location"]
        tried = [
            await door.http("DELETE", where, door.token("shop-8")),
            await door.http("DELETE", where, door.token(cameras="yard*")),
            await door.http("DELETE", where.replace("door-w", "other"), door.token()),
            await door.http("DELETE", where, None),
        ]
        ended = await door.http("DELETE", where, door.token())
        assert ended == "200", ended
        tried.append(await door.http("DELETE", where, door.token()))
    return " ".join(tried)


async def traversal(door: Door) -> str:
    """Names that are paths."""
    token = door.token()
    tried = [
        await door.camera(f"{SITE}/../shop-8/door", token),
        await door.camera("../../etc/passwd", token),
        await door.http("POST", "/whip/%2e%2e/%2e%2e%2fetc%2fpasswd", token, data="v=0"),
        await door.http("POST", f"/whip/{SITE}/..%2f..%2fkeys.json", token, data="v=0"),
        await door.http("GET", "/../../etc/passwd", token),
    ]
    return " ".join(tried)


async def big_unit(door: Door) -> str:
    async with agent(door.url, door.token(), boot="big") as client:
        await client.open(f"{CAMERA}-b{next(door.numbers) % 64}")  # one camera may not begin so many epochs
        with contextlib.suppress(ConnectionError):
            await client.socket.send_bytes(next(fragments(0, unit(1, 1, size=12_000_000).pack(), 16384)))
        return (await client.fault()).code


async def big_message(door: Door) -> str:
    async with agent(door.url, door.token(), boot="big") as client:
        with contextlib.suppress(ConnectionError):
            await client.socket.send_bytes(bytes(MAX_MESSAGE_BYTES + 1))
        await asyncio.wait_for(client.closed.wait(), 10)
        return str(client.socket.close_code)


async def idle_crowd(door: Door) -> str:
    """Connections that say nothing, far more than there is room for: all are hung up on."""
    at_once, turned_out = asyncio.Semaphore(500), 0

    async def idle() -> None:
        nonlocal turned_out
        async with at_once:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(_TOO_LATE_S + door.hello_s):
                assert await reader.read() == b""
        turned_out += 1
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(door.crowd):
            group.create_task(idle())
    return "hung up" if turned_out == door.crowd else f"{door.crowd - turned_out} stay"


async def slow_headers(door: Door) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)

    async def drip() -> None:
        with contextlib.suppress(ConnectionError):
            for byte in b"GET /v1/uplink HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 10_000:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    try:
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(_TOO_LATE_S):
                return (await reader.read()).decode()[:20] or "hung up"
        return "hung up"
    finally:
        dripping.cancel()
        writer.close()


async def foreign_key(door: Door) -> str:
    return await door.uplink(_forged(door, {"kid": next(iter(door.keys.keys()))}, "y" * 48, "HS256"))


def _posted(path: str, kind: str, said: bytes, *headers: str, token: str = "", length: int | None = None) -> bytes:
    """A request, byte for byte."""
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {kind}", *headers]
    head += [f"Content-Length: {len(said) if length is None else length}", "Connection: close"]
    head += [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join([*head, "", ""]).encode() + said


async def odd_types(door: Door) -> str:
    """A parameter that ends before it begins, with and without a token."""
    return " ".join(
        [
            await door.raw(_posted("/v1/session", "application/json; a*", b'{"token": "x"}')),
            await door.raw(_posted("/v1/session", "; a*", b'{"token": "x"}')),
            await door.raw(_posted(f"/whip/{CAMERA}", "application/sdp; a*", b"v=0", token=door.token())),
        ]
    )


async def not_compressed(door: Door) -> str:
    return " ".join(
        [
            await door.raw(_posted("/v1/session", "application/json", b"none", "Content-Encoding: gzip")),
            await door.raw(
                _posted(f"/whip/{CAMERA}", "application/sdp", b"v=0", "Content-Encoding: gzip", token=door.token())
            ),
        ]
    )


async def half_a_body(door: Door) -> str:
    """And nothing more, with a token: a stranger is hung up on before."""
    return await door.raw(_posted(f"/whip/{CAMERA}", "application/sdp", b"v=", token=door.token(), length=100))


#: Name -> the attempt, and what has to come of it.
ATTEMPTS: dict[str, tuple[Attempt, str]] = {
    "no token": (lambda door: door.uplink(None), "401"),
    "garbage for a token": (lambda door: door.uplink("a.b.c"), "401"),
    "expired": (lambda door: door.uplink(door.token(made=time.time() - 7200)), "401"),
    "another's key": (foreign_key, "401"),
    "revoked": (revoked, "401"),
    "alg=none": (alg_none, "401"),
    "swapped kid": (swapped_kid, "401"),
    "a viewer publishes": (lambda door: door.uplink(door.token(scope="view")), "403"),
    "wrong site": (lambda door: door.camera(CAMERA, door.token("shop-8")), "forbidden"),
    "wrong site, WHIP": (lambda door: door.http("POST", f"/whip/{CAMERA}", door.token("shop-8"), data="v=0"), "403"),
    "wrong camera": (lambda door: door.camera(CAMERA, door.token(cameras="yard*")), "forbidden"),
    "wrong camera, WHIP": (
        lambda door: door.http("POST", f"/whip/{CAMERA}", door.token(cameras="yard*"), data="v=0"),
        "403",
    ),
    "session URL replayed": (replayed_session, "404 404 404 401 404"),
    "path traversal in ids": (traversal, "invalid invalid 400 400 404"),
    "token of 100 KB": (lambda door: door.uplink("x" * 100_000), "400"),
    "token of 5 KB": (lambda door: door.uplink("x" * 5_000), "401"),
    "request line of 1 MB": (lambda door: door.raw(b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\n\r\n"), "400"),
    "10,000 headers": (lambda door: door.raw(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10_000 + b"\r\n"), "400"),
    "offer of 1 MB": (lambda door: door.http("POST", f"/whip/{CAMERA}", door.token(), data="v" * 1_000_000), "413"),
    "media types that are none": (odd_types, "401 400 400"),
    "compressed, but is not": (not_compressed, "400 400"),
    "JSON that is nested deep": (
        lambda door: door.raw(_posted("/v1/session", "application/json", b'{"x":' + b"[" * 30_000)),
        "400",
    ),
    "half a body": (half_a_body, "408"),
    "message over its limit": (big_message, "1009"),
    "unit over its limit": (big_unit, "limit"),
    "slow headers": (slow_headers, "hung up"),
    "idle connections": (idle_crowd, "hung up"),
}
