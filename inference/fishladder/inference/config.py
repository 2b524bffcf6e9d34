"""The worker's settings, `[worker]` of the settings file."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fishladder.wire.errors import ConfigError

DEFAULT_MODEL = "ssdlite-person"
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_UNITS_BYTES = {"": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}

Port = Annotated[int, Meta(ge=0, le=65535)]


class WorkerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str = DEFAULT_MODEL  #: an ONNX file, or the name of an asset
    provider: str = "auto"
    threads: Annotated[int, Meta(ge=1, le=256)] = 1
    batch: Annotated[int, Meta(ge=1, le=256)] = 1
    batch_wait_ms: Annotated[float, Meta(ge=0, le=1000)] = 5.0
    names: str | None = None
    score: float = 0.4
    iou: float = 0.5
    processes: Annotated[int, Meta(ge=0, le=1024)] = 0  #: 0 = one a core
    weight: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    lease_ms: Annotated[int, Meta(ge=200, le=60_000)] = 2000
    keep_results: str = "7d"
    keep_bytes: str = "16MB"
    data_dir: str | None = None
    store_timeout_s: Annotated[float, Meta(ge=0)] = 30.0
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 9990  #: of the first process; 0 = none
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def check(self) -> None:
        """What no single setting says by itself. Raises `ConfigError`."""
        if self.keep_results_ms <= 0 or self.keep_results_bytes <= 0:
            raise ConfigError("--keep-results and --keep-bytes must be above 0")
        if self.metrics_port and self.metrics_port + self.process_count > 65536:
            raise ConfigError(f"--metrics-port {self.metrics_port}: {self.process_count} processes need as many ports")

    @property
    def keep_results_ms(self) -> int:
        return parse_duration_ms(self.keep_results, "--keep-results")

    @property
    def keep_results_bytes(self) -> int:
        return parse_bytes(self.keep_bytes, "--keep-bytes")

    @property
    def data_path(self) -> Path | None:
        return Path(self.data_dir) if self.data_dir else None

    @property
    def process_count(self) -> int:
        return self.processes or cores()


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse_duration_ms(value: str, what: str) -> int:
    """`90s`, `12h` or `7d` in milliseconds. Raises `ConfigError` naming `what`."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*(ms|s|m|h|d)", value.strip().lower())
    if not found:
        raise ConfigError(f"{what} {value!r}: expected a time such as 90s, 12h or 7d")
    return int(float(found[1]) * _UNITS_MS[found[2]])


def parse_bytes(value: str, what: str) -> int:
    """`65536`, `512KB`, `16MB` or `2GB` in bytes. Raises `ConfigError` naming `what`."""
    found = re.fullmatch(r"(\d{1,15})\s*(kb|mb|gb|)", value.strip().lower())
    if not found:
        raise ConfigError(f"{what} {value!r}: expected a size such as 512KB, 16MB or 2GB")
    return int(found[1]) * _UNITS_BYTES[found[2]]
