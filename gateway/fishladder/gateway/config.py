"""The gateway's settings, `[gateway]` of the settings file."""

from ipaddress import ip_address
from pathlib import Path
from typing import Literal

import msgspec

from fishladder.gateway.limits import Limits
from fishladder.gateway.token_register import REGISTER_FILE
from fishladder.gateway.tokens import KEYS_FILE
from fishladder.runtime.embedded import default_data_dir
from fishladder.wire.errors import ConfigError
from fishladder.wire.messages import Policy


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    port: int = 8889
    tls_cert: str | None = None
    tls_key: str | None = None
    insecure: bool = False
    auth: Literal["on", "off"] = "on"
    keys: str | None = None  #: file; default keys.json in the data directory
    register: str | None = None  #: file of what was signed and revoked; default tokens.json beside the keys
    data_dir: str | None = None
    frames_bytes: int = 512 * 1024 * 1024  #: memory of the embedded frame store
    assumed_bytes: int = 1024 * 1024 * 1024  #: taken for the frame store's memory where it has no limit
    store_timeout_s: float = 30.0
    processes: int = 1
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9998  #: 0 = none
    log_level: str = "info"
    # What is wanted of cameras for which nothing else is set:
    fps: float | None = None
    analyse: Literal["all", "keyframes"] = "all"
    policy: Literal["all", "fresh"] = "all"
    deadline_ms: int | None = None
    limits: Limits = Limits()

    @property
    def default_policy(self) -> Policy:
        return Policy(fps=self.fps, analyse=self.analyse, deadline_ms=self.deadline_ms, policy=self.policy)

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir) if self.data_dir else default_data_dir()

    @property
    def keys_path(self) -> Path:
        return Path(self.keys) if self.keys else self.data_path / KEYS_FILE

    @property
    def register_path(self) -> Path:
        return Path(self.register) if self.register else self.keys_path.with_name(REGISTER_FILE)

    @property
    def on_loopback(self) -> bool:
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    def check(self) -> None:
        """What no single setting says by itself. Raises `ConfigError`."""
        if not 0 <= self.port <= 65535 or not 0 <= self.metrics_port <= 65535:
            raise ConfigError(f"port {self.port} and metrics port {self.metrics_port} must be 0 to 65535")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("--tls-cert and --tls-key go together: name both")
        if self.auth == "off" and not self.on_loopback:
            raise ConfigError(f"--auth off is for listening on this machine only, not on {self.host}")
        if not self.on_loopback and self.tls_cert is None and not self.insecure:
            raise ConfigError(
                f"listening on {self.host} without TLS would send video and tokens in the clear: give --tls-cert and "
                "--tls-key, or --insecure if something in front of the gateway does TLS"
            )
        if self.processes < 1:
            raise ConfigError(f"--processes {self.processes}: at least 1")
        if self.fps is not None and self.fps <= 0:
            raise ConfigError(f"--fps {self.fps:g}: must be above 0")
