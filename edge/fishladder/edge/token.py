"""The agent's token over time: read again when its file has changed, and kept when the gateway sends a new one, so that
nobody has to go round the camera hosts before tokens expire.
"""

import asyncio
import contextlib
import math
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import structlog

from fishladder.edge.gateway_address import GatewayAddress
from fishladder.runtime.secret_files import read_secret
from fishladder.wire.errors import ConfigError

log = structlog.get_logger(__name__)

_LOOK_S = 1.0


class TokenKeeper:
    """The token of the gateway at `to`."""

    def __init__(self, to: GatewayAddress) -> None:
        self._to = to
        self._in_file = ""  # when it was last read
        self._renewed = ""  # in its place, where the file cannot be written

    @property
    def renews(self) -> bool:
        """Whether a new token can be kept beyond this process."""
        return self._to.token_file is not None

    def address(self) -> GatewayAddress:
        """The gateway's address with the token to use now. Raises `ConfigError` when its file cannot be read."""
        if self._to.token_file is None:
            return self._to
        found = read_secret(self._to.token_file, "token_file")
        if found != self._in_file:
            self._in_file, self._renewed = found, ""
        return replace(self._to, token=self._renewed or found.strip(), token_file=None)

    def changed(self) -> bool:
        """Whether the file holds another token than the one last used."""
        if self._to.token_file is None:
            return False
        try:
            return read_secret(self._to.token_file, "token_file") != self._in_file
        except ConfigError:
            return False  # it is being replaced, or was taken away: the next connection will say so

    async def pause(self, delay_s: float) -> None:
        """Wait before connecting again, but no longer than until somebody has put another token in its place."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + delay_s
        for _ in range(math.ceil(delay_s / _LOOK_S)):
            if self.changed():
                return
            await asyncio.sleep(min(_LOOK_S, max(until_s - loop.time(), 0.0)))

    def renewed(self, token: str) -> None:
        """The gateway has sent a token to use from the next connection on."""
        file = self._to.token_file
        if file is None or not token or not all("!" <= sign <= "~" for sign in token):
            return
        try:
            _write(file, token)
        except OSError as error:
            log.warning(
                "the renewed token cannot be written: it is kept until this agent ends",
                file=str(file),
                error=error.strerror,
            )
            self._renewed = token
        else:
            self._in_file = token
            log.info("token renewed", file=str(file))


def _write(file: Path, token: str) -> None:
    """In one step, with the modes and, as far as we may, the owner it had."""
    before = file.stat()
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".token-")
    try:
        with os.fdopen(handle, "w") as new:
            new.write(f"{token}\n")
            new.flush()
            os.fchmod(handle, before.st_mode & 0o777)
            with contextlib.suppress(PermissionError):
                os.fchown(handle, before.st_uid, before.st_gid)
            os.fsync(handle)
        Path(name).replace(file.resolve())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
