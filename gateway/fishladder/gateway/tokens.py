"""Tokens: JWTs (HS256) for one site, with patterns for its cameras and an expiry. Keys are in a file, named by `kid`;
whoever can read it can make tokens. Nothing here ever logs or prints a token.
"""

import contextlib
import os
import secrets
import tempfile
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import jwt
import msgspec

from fishladder.wire.errors import AuthRefused, ConfigError
from fishladder.wire.ids import site_of

Scope = Literal["publish", "view"]
SCOPES: tuple[Scope, ...] = ("publish", "view")
KEYS_FILE = "keys.json"
#: Only this one: a token must not choose how it is checked.
_ALGORITHMS = ["HS256"]
_LEEWAY_S = 10
_MAX_TOKEN_BYTES = 4096
_MIN_SECRET_BYTES = 32


class _Claims(msgspec.Struct, frozen=True):
    sub: str
    site: str
    exp: int
    cameras: tuple[str, ...] = ("*",)
    scope: tuple[Scope, ...] = ("publish",)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows. `site` None is every site, which only `--auth off` gives; `expires` is Unix seconds."""

    subject: str
    site: str | None
    cameras: tuple[str, ...] = ("*",)
    scope: tuple[Scope, ...] = ("publish",)
    expires: float | None = None

    def allows(self, camera: str) -> bool:
        """Whether a camera (`<site>/<camera>`) is covered."""
        if self.site is None:
            return True
        name = camera.partition("/")[2]
        return site_of(camera) == self.site and any(fnmatchcase(name, pattern) for pattern in self.cameras)


class KeyFile:
    """The signing keys, {kid: secret}, newest last. Made when first needed, read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: dict[str, str] = {}
        self._stamp: tuple[int, int] | None = None

    def keys(self) -> dict[str, str]:
        """Raises `ConfigError`."""
        try:
            with contextlib.suppress(FileExistsError):
                if not self.path.exists():
                    self._create()
            found = self.path.stat()
            if (found.st_mtime_ns, found.st_ino) != self._stamp:
                self._keys = _read(self.path)
                self._stamp = (found.st_mtime_ns, found.st_ino)
        except OSError as error:
            raise ConfigError(f"key file {self.path}: {error.strerror}") from None
        return self._keys

    def _create(self) -> None:
        """Write whole, then give it its name: nobody sees half a file, and who comes second keeps the first's."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys = {secrets.token_hex(4): secrets.token_urlsafe(48)}
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".keys-")  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(keys) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(name, self.path)
        finally:
            Path(name).unlink()


def _read(path: Path) -> dict[str, str]:
    try:
        keys = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except msgspec.DecodeError as error:
        raise ConfigError(f"key file {path}: {error}") from None
    if not keys:
        raise ConfigError(f"key file {path} holds no key")
    for kid, secret in keys.items():
        if len(secret.encode()) < _MIN_SECRET_BYTES:
            raise ConfigError(f"key file {path}: key {kid!r} is shorter than {_MIN_SECRET_BYTES} bytes")
    return keys


def issue(
    keys: KeyFile, *, subject: str, site: str, cameras: list[str], scope: list[Scope], lifetime_s: int, now: float
) -> str:
    """Make a token, signed with the newest key."""
    kid, secret = list(keys.keys().items())[-1]
    claims = _Claims(sub=subject, site=site, exp=int(now + lifetime_s), cameras=tuple(cameras), scope=tuple(scope))
    return jwt.encode(msgspec.to_builtins(claims), secret, algorithm=_ALGORITHMS[0], headers={"kid": kid})


def verify(keys: KeyFile, token: str) -> Grant:
    """What a token allows. Raises `AuthRefused` with a reason that is safe to show."""
    if len(token) > _MAX_TOKEN_BYTES:
        raise AuthRefused("the token is not one of this gateway's")
    try:
        kid = jwt.get_unverified_header(token).get("kid")
        secret = keys.keys().get(kid) if isinstance(kid, str) else None
        if secret is None:
            raise AuthRefused("the token is signed with a key this gateway does not have")
        found: dict[str, Any] = jwt.decode(
            token, secret, algorithms=_ALGORITHMS, leeway=_LEEWAY_S, options={"require": ["exp", "sub"]}
        )
        claims = msgspec.convert(found, _Claims)
    except jwt.ExpiredSignatureError:
        raise AuthRefused("the token has expired: make a new one with `fishladder token create`") from None
    except (jwt.InvalidTokenError, msgspec.ValidationError):
        raise AuthRefused("the token is not valid here") from None
    return Grant(claims.sub, claims.site, claims.cameras, claims.scope, float(claims.exp))


def bearer(authorization: str | None) -> str:
    """The token of an Authorization header. Raises `AuthRefused`."""
    kind, _, token = (authorization or "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise AuthRefused("no token: send `Authorization: Bearer <token>`, see `fishladder token create`")
    return token.strip()


def still_valid(grant: Grant, now: float | None = None) -> bool:
    return grant.expires is None or (time.time() if now is None else now) < grant.expires + _LEEWAY_S
