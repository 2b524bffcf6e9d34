"""The agent's token over time: read again when its file has changed, and kept when the gateway sends a new one, so that
nobody has to go round the camera hosts before tokens expire.

A file that cannot be written, such as a credential from the service manager, is a seed: what it became is kept in the
agent's own directory, and found there by the next start.
"""

import asyncio
import contextlib
import hashlib
import math
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import structlog

from fishladder.edge.gateway_address import GatewayAddress, origin
from fishladder.edge.token_claims import claims, renews
from fishladder.runtime.secret_files import read_secret
from fishladder.wire.errors import ConfigError

log = structlog.get_logger(__name__)

_LOOK_S = 1.0


class TokenKeeper:
    """The token of the gateway at `to`; kept in `directory`, if there is one, where its file cannot be written."""

    def __init__(self, to: GatewayAddress, directory: Path | None = None) -> None:
        self._to = to
        self._directory = directory
        self._in_file = ""  # when it was last read
        self._renewed = ""  # in its place, where the file cannot be written
        self._seed_again = False  # the gateway refused that one

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
            self._in_file, self._renewed, self._seed_again = found, self._kept(found.strip()), False
        renewed = "" if self._seed_again else self._renewed
        return replace(self._to, token=renewed or found.strip(), token_file=None)

    def refused(self) -> bool:
        """The gateway did not take the token used last. Whether there is one it was not asked about since: what is in
        the file, after what was kept in its place. A gateway that was restored may know the one and not the other.
        """
        if not self._renewed or self._renewed == self._in_file.strip():
            return False
        self._seed_again = not self._seed_again
        return self._seed_again

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
            _write(file.resolve(), token, beside=file.parent, like=file.stat())
        except OSError as error:
            self._keep(token, error.strerror or str(error))
        else:
            self._in_file = token
            log.info("token renewed", file=str(file))

    def _keep(self, token: str, why: str) -> None:
        """As its file cannot be written: for the next start, if there is a place for it."""
        self._renewed, self._seed_again = token, False
        place = self._place(self._in_file.strip())
        if place is not None:
            try:
                place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                _write(place, token, beside=place.parent)
            except OSError as error:
                why = f"{why}; {place}: {error.strerror}"
            else:
                log.info("token renewed", file=str(place))
                return
        log.warning(
            "the renewed token cannot be written: it is kept until this agent ends",
            file=str(self._to.token_file),
            error=why,
        )

    def _kept(self, seed: str) -> str:
        """What was kept in place of a seed; '' if nothing that helps."""
        place = self._place(seed)
        if place is None or not os.access(place, os.F_OK):
            return ""
        try:
            kept = read_secret(place, "renewed token").strip()
        except ConfigError as error:
            log.warning("the renewed token is passed over, and that of token_file used", error=str(error))
            return ""
        if claims(kept) is None:
            log.warning("the renewed token is passed over, and that of token_file used", error=f"{place}: is no token")
        return kept if renews(kept, seed) else ""

    def _place(self, seed: str) -> Path | None:
        """Each gateway and token has its own: agents of one directory may have tokens for different cameras."""
        said = claims(seed)
        if self._directory is None or said is None:
            return None
        name = hashlib.sha256(repr((origin(self._to.url, "gateway"), said.jti)).encode()).hexdigest()[:16]
        return self._directory / f"token-{name}"


def _write(file: Path, token: str, *, beside: Path, like: os.stat_result | None = None) -> None:
    """In one step; ours alone, or with the modes and, as far as we may, the owner of the one before."""
    handle, name = tempfile.mkstemp(dir=beside, prefix=".token-")  # mode 0600
    try:
        with os.fdopen(handle, "w") as new:
            new.write(f"{token}\n")
            new.flush()
            if like is not None:
                os.fchmod(handle, like.st_mode & 0o777)
                with contextlib.suppress(PermissionError):
                    os.fchown(handle, like.st_uid, like.st_gid)
            os.fsync(handle)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
