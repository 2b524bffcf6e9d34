"""Files with secrets in them: whether others on the machine may read or replace them, and secrets given as files in
place of environment variables (`FISHLADDER_REDIS_FILE` for `FISHLADDER_REDIS`).
"""

import os
import stat
from pathlib import Path

import click

from fishladder.wire.errors import ConfigError

_said: set[Path] = set()


def check_mode(path: Path, what: str) -> None:
    """Refuse a file that everybody may write, and warn once of one that others may read or its group may write.

    Only a warning there, since container engines mount secrets with mode 0444. Raises `ConfigError`, `OSError`.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o002:
        raise ConfigError(f"{what} {path}: everybody may write to it (mode {mode:04o}): chmod 600 {path}")
    if mode & 0o024 and path not in _said:
        _said.add(path)
        # On stderr, not in the log: the tokens and results that commands print on stdout stay alone there.
        click.echo(f"fishladder: {what} {path}: others may get at it (mode {mode:04o}): chmod 600 {path}", err=True)


def read_secret(file: Path, what: str) -> str:
    """A secret from a file, without its last line break. Raises `ConfigError` naming `what` and the file."""
    try:
        check_mode(file, what)
        return file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise ConfigError(f"{what} {file}: {reason}") from None


class SecretOption(click.Option):
    """An option whose environment variable may also be given as `<VARIABLE>_FILE`, the name of a file that holds it."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        value = super().resolve_envvar_value(ctx)
        if value is None and isinstance(self.envvar, str) and (file := os.environ.get(f"{self.envvar}_FILE")):
            return read_secret(Path(file), f"{self.envvar}_FILE")
        return value
