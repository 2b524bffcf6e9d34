"""`[spool]` of an agent's settings, and what follows from them: which directories, how much, and for how long."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from fishladder.edge.spool.places import default_bytes, default_directory, memory_directory
from fishladder.wire.errors import ConfigError

log = structlog.get_logger(__name__)

Policy = Literal["delete_oldest", "refuse_new"]
#: Less than this would be full at once.
LEAST_BYTES = 1 << 20


class SpoolConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[spool]`. See edge.toml for what each means."""

    enabled: bool = True
    directory: str = ""
    bytes: int = 0
    max_age_h: float = 168.0
    policy: Policy = "delete_oldest"

    def check(self) -> None:
        """Raises `ConfigError`."""
        if self.bytes and self.bytes < LEAST_BYTES:
            raise ConfigError(
                f"bytes of [spool] is {self.bytes}: at least {LEAST_BYTES}, or 0 for half of what is free"
            )
        if not self.max_age_h > 0:
            raise ConfigError(f"max_age_h of [spool] is {self.max_age_h:g}: more than 0")


@dataclass(frozen=True, slots=True)
class Spool:
    """Where and how much. `memory` is the ring's place in memory, None where there is none; `given_bytes` 0 = by what
    is free.
    """

    directory: Path
    memory: Path | None
    given_bytes: int
    max_age_s: float
    policy: Policy

    def limit_bytes(self) -> int:
        """How much may be kept now, which changes with what else is on the disk. Blocks on the disk."""
        return self.given_bytes or default_bytes(self.directory)


def place(config: SpoolConfig, site: str, gateway: str, env: Mapping[str, str]) -> Path | None:
    """Where an agent's state is kept, whether there is a spool or not; None if no place was given and there is none."""
    return Path(config.directory) if config.directory else default_directory(site, gateway, env)


def token_place(config: SpoolConfig, site: str, gateway: str, env: Mapping[str, str]) -> Path | None:
    """Where renewed tokens are kept: beside the spool, but rather in the service manager's state directory than where
    a spool was told to go, which may be a disk that somebody takes away.
    """
    if state := env.get("STATE_DIRECTORY"):
        return Path(state.split(":")[0])
    return place(config, site, gateway, env)


def find(config: SpoolConfig, site: str, gateway: str, env: Mapping[str, str]) -> Spool | None:
    """None if there is to be none, or no place was given and none can be found. Raises `ConfigError` for a directory
    that was given and cannot be used.
    """
    if not config.enabled:
        return None
    directory = place(config, site, gateway, env)
    if directory is None:
        log.warning("no place for a spool: frames are kept in memory only", hint="set directory under [spool]")
        return None
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        if config.directory:
            raise ConfigError(f"directory of [spool]: {directory}: {error.strerror}") from None
        log.warning(
            "no spool: frames are kept in memory only",
            directory=str(directory),
            error=error.strerror,
            hint="set directory under [spool]",
        )
        return None
    return Spool(
        directory,
        memory_directory(directory, env),
        config.bytes,
        config.max_age_h * 3600,
        config.policy,
    )
