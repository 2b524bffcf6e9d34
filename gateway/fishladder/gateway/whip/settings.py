"""What an operator sets for WHIP, `[gateway.whip]` of the settings file, and what clients are told of it."""

import re
from urllib.parse import urlsplit

import msgspec

from fishladder.wire.errors import ConfigError

_ICE_URL = re.compile(r"(stun|stuns|turn|turns):[^\s<>\"]+")


class IceServer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A STUN or TURN server clients may use (RFC 9725 section 4.6)."""

    url: str
    username: str = ""
    credential: str = ""

    def check(self) -> None:
        """Raises `ConfigError`."""
        if not _ICE_URL.fullmatch(self.url):
            raise ConfigError(f"[gateway.whip] ice_servers: {self.url!r} is not a stun: or turn: URL")
        if any(mark in told for told in (self.username, self.credential) for mark in '"\\\r\n'):
            raise ConfigError(f"[gateway.whip] ice_servers: the credentials of {self.url} hold a quote or a line break")

    @property
    def link(self) -> str:
        """As a Link header has it."""
        told = f'<{self.url}>; rel="ice-server"'
        if self.username:
            told += f'; username="{self.username}"; credential="{self.credential}"; credential-type="password"'
        return told


class WhipSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ice_servers: tuple[IceServer, ...] = ()
    overflow: str = ""  #: another gateway's URL: where new sessions are sent when this one is full or going down

    def check(self) -> None:
        """Raises `ConfigError`."""
        for server in self.ice_servers:
            server.check()
        if self.overflow:
            url = urlsplit(self.overflow)
            if url.scheme not in ("http", "https") or not url.netloc or url.query or url.fragment:
                raise ConfigError(f"[gateway.whip] overflow: {self.overflow!r} is not the URL of a gateway")
