"""WHIP as seen on the wire, for the conformance suite: requests as they are, and STUN checks, which tell whether a
session is alive without a single frame.
"""

import asyncio
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import aiohttp
from aioice import stun
from support.offers import VIDEO, offer

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
FINGERPRINT = ":".join(["AB"] * 32)
UFRAG, PASSWORD = "abcd", "abcdefghijklmnopqrstuvwx"


def whole(text: str) -> str:
    """An offer with a fingerprint of the right length and the line ends of SDP."""
    return text.replace("sha-256 00:11", f"sha-256 {FINGERPRINT}").replace("\n", "\r\n")


PLAIN = whole(offer(VIDEO))


@dataclass(frozen=True)
class Reply:
    url: str
    status: int
    headers: Mapping[str, str]
    links: tuple[str, ...]
    body: str

    @property
    def kind(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def session(self) -> str:
        """Where the Location header leads."""
        assert "Location" in self.headers, "no Location"
        return urljoin(self.url, self.headers["Location"])

    @property
    def etag(self) -> str:
        return self.headers.get("ETag", "")

    def told(self, name: str) -> list[str]:
        """Values of an SDP attribute."""
        return re.findall(rf"^a={re.escape(name)}:(.*?)\r?$", self.body, re.M)

    @property
    def sections(self) -> list[str]:
        return re.findall(r"^m=(.*?)\r?$", self.body, re.M)


@dataclass
class Endpoint:
    url: str
    token: str = ""
    _http: aiohttp.ClientSession | None = None
    _begun: list[str] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20), auto_decompress=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for session in self._begun:
            await self.ask("DELETE", session)
        assert self._http is not None
        await self._http.close()

    async def ask(
        self,
        method: str,
        url: str = "",
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        anonymous: bool = False,
    ) -> Reply:
        """One request, no redirects followed."""
        assert self._http is not None
        sent = dict(headers or {})
        if self.token and not anonymous:
            sent["Authorization"] = f"Bearer {self.token}"
        async with self._http.request(
            method, url or self.url, data=body, headers=sent, allow_redirects=False, skip_auto_headers=["Content-Type"]
        ) as reply:
            text = (await reply.read()).decode(errors="replace")
            links = tuple(reply.headers.getall("Link", []))
            return Reply(str(reply.url), reply.status, reply.headers, links, text)

    async def post(self, text: str = PLAIN, kind: str = SDP) -> Reply:
        reply = await self.ask("POST", "", text, {"Content-Type": kind})
        if reply.status == 201:
            self._begun.append(reply.session)
        return reply

    async def begin(self, text: str = PLAIN) -> Reply:
        """A session that has to come about."""
        reply = await self.post(text)
        assert reply.status == 201, (reply.status, reply.body)
        return reply

    async def patch(self, session: str, text: str, match: str | None, kind: str = FRAGMENT) -> Reply:
        headers = {"Content-Type": kind} | ({} if match is None else {"If-Match": match})
        return await self.ask("PATCH", session, text, headers)


def fragment(*lines: str, ufrag: str = UFRAG, password: str = PASSWORD, mid: str = "1") -> str:
    """A fragment as RFC 8840 has it."""
    rows = [f"a=ice-ufrag:{ufrag}", f"a=ice-pwd:{password}", "m=video 9 UDP/TLS/RTP/SAVPF 0", f"a=mid:{mid}", *lines]
    return "\r\n".join(rows) + "\r\n"


CANDIDATE = "a=candidate:1 1 udp 2122260223 192.0.2.77 61764 typ host"


async def answers_checks(reply: Reply, *, ours: str = UFRAG, password: str | None = None, wait_s: float = 2.0) -> bool:
    """Whether the server answers a STUN check at any address that it listed, with the credentials it gave."""
    ufrag, known = reply.told("ice-ufrag")[0], reply.told("ice-pwd")[0]
    return await check(reply.told("candidate"), ufrag, password or known, ours, wait_s)


async def check(candidates: list[str], ufrag: str, password: str, ours: str = UFRAG, wait_s: float = 2.0) -> bool:
    """Send checks with these credentials to all candidates; whether any is answered with success."""
    loop = asyncio.get_running_loop()
    targets = [(words[4], int(words[5])) for one in candidates if (words := one.split())[2].lower() == "udp"]
    assert targets, "no UDP candidate"
    sockets: dict[int, socket.socket] = {}
    try:
        waiting = []
        for host, port in targets:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            if family not in sockets:
                try:
                    sockets[family] = socket.socket(family, socket.SOCK_DGRAM)
                except OSError:
                    continue
                sockets[family].setblocking(False)
                waiting.append(asyncio.ensure_future(_answered(loop, sockets[family], password)))
            request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
            request.attributes["USERNAME"] = f"{ufrag}:{ours}"
            request.attributes["PRIORITY"] = 1
            request.attributes["ICE-CONTROLLING"] = secrets.randbits(64)
            request.attributes["USE-CANDIDATE"] = None
            request.add_message_integrity(password.encode())
            try:
                sockets[family].sendto(bytes(request), (host, port))
            except OSError:
                continue
        done, rest = await asyncio.wait(waiting, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        return any(task.result() for task in done)
    finally:
        for one in sockets.values():
            one.close()


async def _answered(loop: asyncio.AbstractEventLoop, one: socket.socket, password: str) -> bool:
    while True:
        try:
            message = stun.parse_message(await loop.sock_recv(one, 2048))
        except (ValueError, OSError):
            continue
        if message.message_class is stun.Class.RESPONSE and message.check_message_integrity(password.encode()):
            return True
