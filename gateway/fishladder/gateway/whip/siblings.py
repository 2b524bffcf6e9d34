"""Several gateway processes share one port, and a client's PATCH or DELETE may reach another one than has its session.
The session's name begins with that of its process, which listens on a socket of its own for what the others hand on.
"""

import re
import secrets
from pathlib import Path

import aiohttp
from aiohttp import web

from fishladder.gateway.bodies import body
from fishladder.gateway.whip.problem import unavailable

#: In the environment of each process: the directory with everybody's sockets.
VARIABLE = "FISHLADDER_GATEWAY_SIBLINGS"
_NAME = re.compile(r"[0-9a-f]{8}")
_HANDED_ON = ("Authorization", "Content-Type", "If-Match", "Origin")
_HANDED_BACK = ("Content-Type", "ETag", "Link", "Retry-After", "WWW-Authenticate")
_TIMEOUT_S = 10.0


class Siblings:
    """`place` None: there are no others."""

    def __init__(self, place: Path | None) -> None:
        self.name = secrets.token_hex(4)
        self._place = place

    def new_session(self) -> str:
        """A name nobody guesses: 192 random bits behind that of this process."""
        return f"{self.name}-{secrets.token_urlsafe(24)}"

    async def listen(self, runner: web.AppRunner) -> None:
        """Take what the others hand on. It ends with `runner`."""
        if self._place is not None:
            await web.UnixSite(runner, str(self._socket(self.name))).start()

    async def hand_on(self, request: web.Request) -> web.Response | None:
        """The answer of the process that has the session; None if none has. Raises 503 if it does not answer."""
        name = request.match_info["session"].partition("-")[0]
        if self._place is None or name == self.name or not _NAME.fullmatch(name) or not self._socket(name).exists():
            return None
        told = await body(request, "change")
        headers = {key: request.headers[key] for key in _HANDED_ON if key in request.headers}
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.UnixConnector(str(self._socket(name))),
                    timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
                ) as http,
                http.request(request.method, f"http://sibling{request.path}", headers=headers, data=told) as answer,
            ):
                back = {key: answer.headers[key] for key in _HANDED_BACK if key in answer.headers}
                return web.Response(status=answer.status, reason=answer.reason, body=await answer.read(), headers=back)
        except aiohttp.ClientConnectorError:
            return None  # it has ended, and its sessions with it
        except (TimeoutError, aiohttp.ClientError):
            raise unavailable("the process that has this session does not answer", 2) from None

    def _socket(self, name: str) -> Path:
        assert self._place is not None
        return self._place / f"{name}.sock"
