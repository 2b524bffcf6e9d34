"""The settings of `fishladder sink run`, `[sinks]` of the settings file: where results go."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from fishladder.runtime.embedded import default_data_dir
from fishladder.runtime.secret_files import read_secret
from fishladder.wire.errors import ConfigError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class SinkOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all kinds share. `cameras` are patterns of `<site>/<camera>`; with `only = "detections"` results in which
    nothing was seen are left out; a new sink begins with what comes from `begin` on.
    """

    name: str
    cameras: tuple[str, ...] = ("*",)
    only: Literal["all", "detections"] = "all"
    begin: Literal["now", "oldest"] = "now"
    batch: int = 100  #: results at once
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"sink name {self.name[:80]!r}: use 1 to 64 of a-z 0-9 . _ -")
        if not 1 <= self.batch <= 1000 or not 0 < self.timeout_s <= 300:
            raise ValueError(f"sink {self.name}: batch is 1 to 1000, timeout_s above 0 and at most 300")


class Webhook(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`secret` signs each request (Standard Webhooks); `token` is sent as a bearer token."""

    url: str
    secret: str = ""
    secret_file: str = ""
    token: str = ""
    token_file: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"sink {self.name}: url is http://... or https://...")
        if parts.username or parts.password:
            raise ValueError(f"sink {self.name}: give what is secret as token or secret, not in the url")


class Mqtt(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Each result goes to `<topic>/<site>/<camera>`, QoS 1."""

    host: str
    port: int = 0  #: 0: 1883, or 8883 with TLS
    topic: str = "fishladder"
    tls: bool = False
    ca_file: str = ""  #: who signed the broker's certificate, if not one of the system's
    user: str = ""
    password: str = ""
    password_file: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.topic or any(sign in self.topic for sign in "#+\0"):
            raise ValueError(f"sink {self.name}: topic {self.topic[:80]!r} has wildcards or is empty")


class SinkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    webhook: tuple[Webhook, ...] = ()
    mqtt: tuple[Mqtt, ...] = ()
    data_dir: str | None = None
    store_timeout_s: float = 30.0
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9998  #: 0 = none
    log_level: str = "info"

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir) if self.data_dir else default_data_dir()

    def all(self) -> Iterator[Webhook | Mqtt]:
        yield from self.webhook
        yield from self.mqtt

    def check(self) -> None:
        """Raises `ConfigError`."""
        names = [one.name for one in self.all()]
        if not names:
            raise ConfigError(
                "no sink is named: give --webhook URL, --mqtt HOST, or [[sinks.webhook]] in --config FILE"
            )
        if twice := {name for name in names if names.count(name) > 1}:
            raise ConfigError(f"sink names must differ: {', '.join(sorted(twice))} is used twice")


def secret_of(given: str, file: str, what: str) -> str:
    """A secret that may be in a file. Raises `ConfigError`."""
    return read_secret(Path(file), what) if file else given
