"""Which tokens were made and which were taken back: a file beside the signing keys, without the tokens themselves. The
command writes it, gateways read it again whenever it has changed.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from fishladder.runtime.secret_files import check_mode
from fishladder.wire.errors import ConfigError

REGISTER_FILE = "tokens.json"
#: An expired token is forgotten after so long; until then the list says what became of it.
_KEEP_S = 30 * 86_400


class Issued(msgspec.Struct, frozen=True, omit_defaults=True):
    """One token. Times are Unix seconds; `revoked` 0 = not."""

    id: str
    subject: str
    site: str
    cameras: tuple[str, ...]
    scope: tuple[str, ...]
    kid: str
    issued: int
    expires: int
    revoked: int = 0


class Register:
    """The file at `path`; where there is none, nothing was ever made or revoked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tokens: dict[str, Issued] = {}
        self._stamp: tuple[int, int] | None = None

    def tokens(self) -> dict[str, Issued]:
        """All of them by id, the oldest first. Raises `ConfigError`."""
        try:
            found = self.path.stat()
            if (found.st_mtime_ns, found.st_ino) != self._stamp:
                check_mode(self.path, "token register")
                self._tokens = _read(self.path)
                self._stamp = (found.st_mtime_ns, found.st_ino)
        except FileNotFoundError:
            self._tokens, self._stamp = {}, None
        except OSError as error:
            raise ConfigError(f"token register {self.path}: {error.strerror}") from None
        return self._tokens

    def revoked(self, token_id: str) -> bool:
        """Raises `ConfigError`."""
        token = self.tokens().get(token_id)
        return token is not None and token.revoked > 0

    def add(self, token: Issued) -> None:
        """Note a token, or another expiry of one that was noted. Raises `ConfigError`."""

        def note(tokens: dict[str, Issued]) -> None:
            before = tokens.get(token.id)
            tokens[token.id] = msgspec.structs.replace(token, revoked=before.revoked) if before else token

        self._change(note, now=token.issued)

    def revoke(self, ids: Sequence[str], now: float) -> list[Issued]:
        """Take tokens back; those that were not yet. Raises `ConfigError` for an id that is not there."""
        done: list[Issued] = []

        def take_back(tokens: dict[str, Issued]) -> None:
            for token_id in ids:
                if token_id not in tokens:
                    raise ConfigError(f"no token with the id {token_id[:80]!r}: see `fishladder token list`")
                if not tokens[token_id].revoked:
                    tokens[token_id] = msgspec.structs.replace(tokens[token_id], revoked=int(now))
                    done.append(tokens[token_id])

        self._change(take_back, now=now)
        return done

    def _change(self, change: Callable[[dict[str, Issued]], None], now: float) -> None:
        try:
            with _alone(self.path):
                tokens = dict(self.tokens())
                change(tokens)
                kept = [token for token in tokens.values() if token.expires + _KEEP_S > now]
                _write(self.path, msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
        except OSError as error:
            raise ConfigError(f"token register {self.path}: {error.strerror}") from None


def _read(path: Path) -> dict[str, Issued]:
    try:
        return {token.id: token for token in msgspec.json.decode(path.read_bytes(), type=list[Issued])}
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ConfigError(f"token register {path}: {error}") from None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One writer at a time, also among processes."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(path: Path, data: bytes) -> None:
    """In one step: whoever reads has the old file or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tokens-")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
