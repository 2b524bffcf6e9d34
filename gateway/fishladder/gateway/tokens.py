"""Tokens: JWTs (HS256) for one site, with patterns for its cameras, a scope and an expiry. Keys are in a file, named by
`kid`; whoever can read it can make tokens. Nothing here ever logs or prints a token.

Scopes: `publish` sends video, `view` sees results and pictures, `admin` sees them and may change things. Only the last
two may be for all sites.
"""

import contextlib
import os
import secrets
import tempfile
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import jwt
import msgspec
import structlog

from fishladder.gateway.token_register import REGISTER_FILE, Issued, Register
from fishladder.runtime.secret_files import check_mode
from fishladder.wire.errors import AuthRefused, ConfigError
from fishladder.wire.ids import site_of

log = structlog.get_logger(__name__)

Scope = Literal["publish", "view", "admin"]
SCOPES: tuple[Scope, ...] = ("publish", "view", "admin")
#: In a token's `site`: every site.
ALL_SITES = "*"
KEYS_FILE = "keys.json"
#: Only this one: a token must not choose how it is checked.
_ALGORITHMS = ["HS256"]
_LEEWAY_S = 10
_MAX_TOKEN_BYTES = 4096
_MIN_SECRET_BYTES = 32
#: A token is renewed with this part of its life left, one in so many.
RENEW_AT = 3


class _Claims(msgspec.Struct, frozen=True):
    sub: str
    site: str
    exp: int
    cameras: tuple[str, ...] = ("*",)
    scope: tuple[Scope, ...] = ("publish",)
    jti: str = ""  #: by which it can be revoked
    iat: int = 0  #: when it was made, if it may be renewed before it expires


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows. `site` None is every site; `expires` is Unix seconds; `issuer` can say whether it still
    stands.
    """

    subject: str
    site: str | None
    cameras: tuple[str, ...] = ("*",)
    scope: tuple[Scope, ...] = ("publish",)
    expires: float | None = None
    id: str = ""
    kid: str = ""
    issued: float | None = None  #: when it was made; None: it is not to be renewed
    issuer: "KeyFile | None" = field(default=None, repr=False, compare=False)

    @property
    def holder(self) -> str:
        """Under what name this token's use is counted: a subject of one site is not that of another."""
        return f"{self.site or ALL_SITES}/{self.subject}"

    def allows(self, camera: str) -> bool:
        """Whether a camera (`<site>/<camera>`) is covered; what may be done with it is another question, see `may`."""
        if not self.allows_site(site_of(camera)):
            return False
        name = camera.partition("/")[2]
        return any(fnmatchcase(name, pattern) for pattern in self.cameras)

    def allows_site(self, site: str) -> bool:
        """Whether some cameras of a site may be covered."""
        return self.site is None or site == self.site

    def may(self, scope: Scope) -> bool:
        """Whether it is of a scope; who may change things may look at them too."""
        return scope in self.scope or (scope == "view" and "admin" in self.scope)


class KeyFile:
    """The signing keys, {kid: secret}, newest last, and the register of what was signed with them (default: the file
    beside). Made when first needed, read again when it has changed.
    """

    def __init__(self, path: Path, register: Path | None = None) -> None:
        self.path = path
        self.register = Register(register or path.with_name(REGISTER_FILE))
        self._keys: dict[str, str] = {}
        self._stamp: tuple[int, int] | None = None

    def keys(self) -> dict[str, str]:
        """Raises `ConfigError`."""
        try:
            with contextlib.suppress(FileExistsError):
                if not self.path.exists():
                    self._write({secrets.token_hex(4): _new_secret()}, anew=True)
            found = self.path.stat()
            if (found.st_mtime_ns, found.st_ino) != self._stamp:
                check_mode(self.path, "key file")
                self._keys = _read(self.path)
                self._stamp = (found.st_mtime_ns, found.st_ino)
        except OSError as error:
            raise ConfigError(f"key file {self.path}: {error.strerror}") from None
        return self._keys

    def rotate(self) -> str:
        """Make a new key, with which tokens are signed from now on; returns its kid. Raises `ConfigError`."""
        kid = secrets.token_hex(4)
        self._replace({**self.keys(), kid: _new_secret()})
        return kid

    def drop(self, kid: str) -> None:
        """Forget a key: every token signed with it is worth nothing from now on. Raises `ConfigError`."""
        keys = dict(self.keys())
        if kid not in keys or len(keys) == 1:
            why = "is the only one: rotate first" if kid in keys else f"is not there, only {', '.join(keys)}"
            raise ConfigError(f"key file {self.path}: key {kid[:40]!r} {why}")
        del keys[kid]
        self._replace(keys)

    def stands(self, grant: Grant) -> bool:
        """Whether a grant is neither revoked nor its key gone. A file that cannot be read at the moment changes
        nothing: what was let in stays, and nobody new comes.
        """
        try:
            return grant.kid in self.keys() and not self.register.revoked(grant.id)
        except ConfigError as error:
            log.error("tokens cannot be checked", error=str(error))
            return True

    def _replace(self, keys: dict[str, str]) -> None:
        try:
            self._write(keys, anew=False)
        except OSError as error:
            raise ConfigError(f"key file {self.path}: {error.strerror}") from None

    def _write(self, keys: dict[str, str], *, anew: bool) -> None:
        """Write whole, then give it its name: nobody sees half a file. `anew`: who comes second keeps the first's, and
        gets `FileExistsError`.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".keys-")  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(keys) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            if anew:
                os.link(name, self.path)
            else:
                Path(name).replace(self.path)
        finally:
            Path(name).unlink(missing_ok=True)


def _new_secret() -> str:
    return secrets.token_urlsafe(48)


def _read(path: Path) -> dict[str, str]:
    try:
        keys = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ConfigError(f"key file {path}: {error}") from None
    if not keys:
        raise ConfigError(f"key file {path} holds no key")
    for kid, secret in keys.items():
        if len(secret.encode()) < _MIN_SECRET_BYTES:
            raise ConfigError(f"key file {path}: key {kid!r} is shorter than {_MIN_SECRET_BYTES} bytes")
    return keys


def issue(
    keys: KeyFile,
    *,
    subject: str,
    site: str,
    cameras: list[str],
    scope: list[Scope],
    lifetime_s: int,
    now: float,
    renew: bool = True,
    token_id: str = "",
) -> str:
    """Make a token, signed with the newest key, and note it in the register. `token_id`: of the one it takes the place
    of. Raises `ConfigError`.
    """
    if site == ALL_SITES and "publish" in scope:
        raise ConfigError("a token to publish is for one site: name it with --site")
    kid, secret = list(keys.keys().items())[-1]
    token_id, expires = token_id or secrets.token_hex(6), int(now + lifetime_s)
    claims = _Claims(subject, site, expires, tuple(cameras), tuple(scope), token_id, int(now) if renew else 0)
    made = jwt.encode(msgspec.to_builtins(claims), secret, algorithm=_ALGORITHMS[0], headers={"kid": kid})
    if len(made) > _MAX_TOKEN_BYTES:
        raise ConfigError(f"that makes a token of {len(made)} bytes, over {_MAX_TOKEN_BYTES}: name fewer cameras")
    keys.register.add(Issued(token_id, subject, site, tuple(cameras), tuple(scope), kid, int(now), expires))
    return made


def verify(keys: KeyFile, token: str) -> Grant:
    """What a token allows. Raises `AuthRefused` with a reason that is safe to show, `ConfigError` if the keys or the
    register cannot be read.
    """
    if len(token) > _MAX_TOKEN_BYTES:
        raise AuthRefused("the token is not one of this gateway's")
    try:
        kid = jwt.get_unverified_header(token).get("kid")
        secret = keys.keys().get(kid) if isinstance(kid, str) else None
        if secret is None:
            raise AuthRefused("the token is signed with a key this gateway does not have")
        found: dict[str, Any] = jwt.decode(
            token,
            secret,
            algorithms=_ALGORITHMS,
            leeway=_LEEWAY_S,
            options={"require": ["exp", "sub"], "verify_iat": False},
        )
        claims = msgspec.convert(found, _Claims)
    except jwt.ExpiredSignatureError:
        raise AuthRefused("the token has expired: make a new one with `fishladder token create`") from None
    except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError, RecursionError):
        raise AuthRefused("the token is not valid here") from None
    if claims.site == ALL_SITES and "publish" in claims.scope:
        raise AuthRefused("the token is not valid here")
    if keys.register.revoked(claims.jti):
        raise AuthRefused("the token was revoked")
    site = None if claims.site == ALL_SITES else claims.site
    issued = float(claims.iat) if claims.iat else None
    return Grant(claims.sub, site, claims.cameras, claims.scope, float(claims.exp), claims.jti, str(kid), issued, keys)


def renewal_due(grant: Grant, now: float) -> bool:
    """Whether a good token has a third of its life left, or less, or is signed with a key that is not the newest."""
    if grant.issued is None or grant.expires is None or grant.issuer is None or not grant.id:
        return False
    try:
        newest = next(reversed(grant.issuer.keys()))
    except ConfigError:
        return False
    return grant.kid != newest or grant.expires - now <= (grant.expires - grant.issued) / RENEW_AT


def renew(grant: Grant, now: float) -> tuple[str, Grant]:
    """A token in place of one that is good, with the same id and as long a life from now on. Raises `ConfigError`."""
    assert grant.issuer is not None, "it is not due"
    assert grant.issued is not None
    assert grant.expires is not None
    made = issue(
        grant.issuer,
        subject=grant.subject,
        site=grant.site or ALL_SITES,
        cameras=list(grant.cameras),
        scope=list(grant.scope),
        lifetime_s=int(grant.expires - grant.issued),
        now=now,
        token_id=grant.id,
    )
    return made, verify(grant.issuer, made)


def bearer(authorization: str | None) -> str:
    """The token of an Authorization header. Raises `AuthRefused`."""
    kind, _, token = (authorization or "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise AuthRefused("no token: send `Authorization: Bearer <token>`, see `fishladder token create`")
    return token.strip()


def still_valid(grant: Grant, now: float | None = None) -> bool:
    """Whether what was granted has neither expired nor been taken back since."""
    if grant.expires is not None and (time.time() if now is None else now) >= grant.expires + _LEEWAY_S:
        return False
    return grant.issuer is None or grant.issuer.stands(grant)
