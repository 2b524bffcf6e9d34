"""`summary.json`: all that a run found, with what is needed to repeat it. Versioned: readers refuse what they do not
know.
"""

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from fishladder.loadtest.report.host import Host, this_host
from fishladder.wire.errors import ConfigError

SCHEMA = 1


class Point(msgspec.Struct, frozen=True):
    """The worst camera's decodable fraction at N: mean over seeds and its one-sided 95 % bounds."""

    cameras: int
    seeds: int
    mean: float
    lower: float | None  #: None with a single seed
    upper: float | None


class Emulated(msgspec.Struct, frozen=True):
    """One run with real agents, gateway and kernel queue, and what the model says of the same N."""

    cameras: int
    decodable: float
    model: float
    age_p50_ms: float
    age_p95_ms: float
    lateness_p95_ms: float
    offered_bps: float
    agrees: bool  #: see `saturation.confirm.agree`
    congestion_control: str
    cores: dict[str, float]
    camera_bps: float | None = None  #: of cameras that adapt: what was ordered of the one that got least
    of_use: bool = True  #: it kept its floor
    model_range: tuple[float, float] | None = None  #: of single runs with other seeds


class BarRow(msgspec.Struct, frozen=True):
    name: str
    low: str
    high: str
    low_passing: int
    high_passing: int


class Ages(msgspec.Struct, frozen=True):
    """Of one run: `quantiles_ms` of all frames' ages at 0, 1, ... 100 % (None = never arrived), and second by second
    the decodable fraction, the 95th percentile of the age and of the wait in the queue.
    """

    cameras: int
    quantiles_ms: list[float | None]
    second: list[float]
    decodable: list[float]
    age_p95_ms: list[float | None]
    queue_p95_ms: list[float]


class LinkAnswer(msgspec.Struct, frozen=True):
    """How many cameras fit on one link. `failing` None: none was found up to `limit`."""

    link: str
    title: str
    up_bps: float
    down_bps: float
    rtt_ms: float
    loss: float
    queue_ms: float
    discipline: str
    figures: dict[str, dict[str, Any]]
    camera: str
    passing: int
    failing: int | None
    limit: int
    fluid: int
    every_n: bool
    cause: str
    cause_text: str
    curve: list[Point]
    tornado: list[BarRow]
    ages: list[Ages]
    detections: str = ""
    emulated: list[Emulated] = []
    emulation: str = ""  #: what was self-tested and what differs from the link, or why nothing was emulated
    up_share: float | None = None  #: of equal total capacity, where it was split


class Summary(msgspec.Struct, frozen=True):
    kind: str  #: saturate, fanin or accuracy
    command: str
    created: str
    version: str
    seed: int
    host: Host
    settings: dict[str, Any]
    answers: list[LinkAnswer] = []
    findings: dict[str, Any] = {}  #: of fanin and accuracy
    assertions: list[dict[str, Any]] = []
    status: str = "ok"
    schema: int = SCHEMA


def new_summary(kind: str, command: str, seed: int, settings: dict[str, Any], **found: Any) -> Summary:
    return Summary(
        kind=kind,
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=version("fishladder"),
        seed=seed,
        host=this_host(),
        settings=settings,
        **found,
    )


def write_summary(summary: Summary, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")


def read_summary(path: Path) -> Summary:
    """`path` is the file, or the directory it is in. Raises `ConfigError`."""
    file = path / "summary.json" if path.is_dir() else path
    try:
        raw = file.read_bytes()
        head = msgspec.json.decode(raw)
        found = head.get("schema") if isinstance(head, dict) else None
        if found != SCHEMA:
            raise ConfigError(f"{file}: schema {found!r} is not one this version reads ({SCHEMA})")
        return msgspec.json.decode(raw, type=Summary)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}: give the directory of a report, or its summary.json") from None
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{file} is not a summary of a load test: {error}") from None
