"""Links from files: the presets of this package, and a user's own TOML in the same form. What is wrong is said with the
file and the field; nothing is guessed.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NoReturn

import msgspec

from fishladder.loadtest.links.fading import fading_trace
from fishladder.loadtest.links.link import LATE_SIGMAS, Direction, Jitter, Link, Loss, Provenance, Step, Trace
from fishladder.loadtest.links.mahimahi import load_trace
from fishladder.wire.errors import ConfigError

MIN_QUEUE_BYTES = 1514  #: room for one full packet
_LONGEST_S = 7 * 86_400.0


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number with where it comes from."""

    value: float
    source: str | None = None
    assumed: str | None = None


Number = float | Figure


class JitterTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["normal", "uniform", "steps"]
    ms: Number
    period_ms: float | None = None  #: 10 ms, or 15 s for steps
    early_sigmas: Number | None = None  #: of normal


class LossTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rate: Number
    burst: Number | None = None


class FadingTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A made-up radio link, so all of it is assumed: see `fading`."""

    sigma: float
    coherence_ms: float = 200.0
    seconds: float = 20.0
    seed: int = 1


class DirectionTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rate_mbps: Number | None = None
    queue_ms: Number | None = None
    queue_bytes: Number | None = None
    discipline: Literal["droptail", "pie"] = "droptail"
    pie_target_ms: Number = 10.0
    delay_ms: Number = 0.0
    jitter: JitterTable | None = None
    loss: LossTable | None = None
    bucket_bytes: Number = 0.0
    grant_ms: Number = 0.0
    trace: str | FadingTable | None = None


class StepTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    at_s: float
    direction: Literal["up", "down", "both"] = "both"
    rate_mbps: float | None = None
    loss: float | None = None
    delay_ms: float | None = None
    outage_s: float | None = None
    over_s: float = 0.0  #: a fade: get there in this time instead of at once


class LinkTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    up: DirectionTable
    down: DirectionTable
    title: str = ""
    schedule: list[StepTable] = []
    repeat_s: float = 0.0


def _plain(given: Number) -> float:
    return given.value if isinstance(given, Figure) else float(given)


def preset_names() -> tuple[str, ...]:
    """The names of the presets that come with fishladder, thin lines first."""
    found = (entry.name for entry in files(__package__).joinpath("presets").iterdir())
    return tuple(sorted((name.removesuffix(".toml") for name in found if name.endswith(".toml")), key=_by_rate))


def _by_rate(name: str) -> float:
    return load_link(name).up.rate_bps


def preset_text(name: str) -> str:
    """The TOML of a preset, to be copied and changed. Raises `ConfigError`."""
    found = files(__package__).joinpath("presets", f"{name}.toml")
    if "/" in name or not found.is_file():
        raise ConfigError(f"no link {name!r}: give a TOML file, or one of {', '.join(preset_names())}")
    return found.read_text()


@lru_cache(maxsize=64)
def load_link(name_or_path: str) -> Link:
    """A preset by its name, or a link from a TOML file. Raises `ConfigError` naming the file and the field."""
    path = Path(name_or_path)
    if path.suffix == ".toml" or "/" in name_or_path:
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"link {path}: {getattr(error, 'strerror', None) or 'is not text'}") from None
        return parse_link(text, path.stem, where=str(path), beside=path.parent)
    return parse_link(preset_text(name_or_path), name_or_path, where=f"preset {name_or_path}", beside=Path())


def parse_link(text: str, name: str, *, where: str, beside: Path) -> Link:
    """A link from TOML; `beside` is the folder that trace files are named from. Raises `ConfigError`."""
    try:
        table = msgspec.convert(tomllib.loads(text), LinkTable, strict=False)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"link {where}: is no TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"link {where}: {error}") from None
    reader = _Reader(where, beside)
    up, down = reader.direction("up", table.up), reader.direction("down", table.down)
    steps = sorted(reader.schedule(table, up, down), key=lambda step: step.at_ms)
    repeat_ms = table.repeat_s * 1000
    if not 0 <= table.repeat_s <= _LONGEST_S:
        reader.refuse("repeat_s", f"{table.repeat_s:g} is not between 0 and {_LONGEST_S:g}")
    if steps and repeat_ms and steps[-1].at_ms >= repeat_ms:
        reader.refuse("repeat_s", f"{table.repeat_s:g} is not after the last step, at {steps[-1].at_ms / 1000:g} s")
    return Link(name, up, down, table.title or name, tuple(steps), repeat_ms, reader.provenance)


class _Reader:
    """Checks values and notes their provenance on the way."""

    def __init__(self, where: str, beside: Path) -> None:
        self.where, self.beside = where, beside
        self.provenance: dict[str, Provenance] = {}

    def refuse(self, field: str, why: str) -> NoReturn:
        raise ConfigError(f"link {self.where}: {field}: {why}")

    def number(
        self, field: str, given: Number, *, noted: str | None = None, low: float = 0.0, high: float = 1e12
    ) -> float:
        value = _plain(given)
        if not low <= value <= high:
            self.refuse(field, f"{value:g} is not between {low:g} and {high:g}")
        text, assumed = f"given in {self.where}", False
        if isinstance(given, Figure):
            if given.source and given.assumed:
                self.refuse(field, "has both a source and an assumption; a number rests on one")
            text, assumed = given.source or given.assumed or text, given.assumed is not None
        self.provenance[noted or field] = Provenance(text, assumed)
        return value

    def direction(self, way: str, table: DirectionTable) -> Direction:
        def get(field: str, given: Number, **options: Any) -> float:
            return self.number(f"{way}.{field}", given, **options)

        trace = self._trace(way, table)
        if table.rate_mbps is not None:
            rate_bps = get("rate_mbps", table.rate_mbps, noted=f"{way}.rate_bps", low=0.01, high=100_000) * 1e6
        elif trace is not None:
            rate_bps = trace.mean_bps
        else:
            self.refuse(f"{way}.rate_mbps", "is missing (or give a trace)")
        if (table.queue_ms is None) == (table.queue_bytes is None):
            self.refuse(f"{way}.queue_ms", "give the queue's length either as queue_ms or as queue_bytes")
        noted = f"{way}.queue_bytes"
        if table.queue_ms is not None:
            queue = get("queue_ms", table.queue_ms, noted=noted, high=60_000) * rate_bps / 8000
        else:
            assert table.queue_bytes is not None
            queue = get("queue_bytes", table.queue_bytes, noted=noted, high=1e9)
        if queue < MIN_QUEUE_BYTES:
            self.refuse(f"{way}.queue", f"{queue:.0f} bytes do not hold one packet of {MIN_QUEUE_BYTES}")
        jitter = Jitter()
        if table.jitter is not None:
            period_ms = table.jitter.period_ms or (15_000.0 if table.jitter.kind == "steps" else 10.0)
            if not 1 <= period_ms <= _LONGEST_S * 1000:
                self.refuse(f"{way}.jitter.period_ms", f"{period_ms:g} is not between 1 and {_LONGEST_S * 1000:g}")
            jitter = Jitter(table.jitter.kind, get("jitter.ms", table.jitter.ms, high=10_000), period_ms)
            if table.jitter.early_sigmas is not None:
                if jitter.kind != "normal":
                    self.refuse(f"{way}.jitter.early_sigmas", f"{jitter.kind} jitter is never early; leave it out")
                early = get("jitter.early_sigmas", table.jitter.early_sigmas, high=LATE_SIGMAS)
                jitter = replace(jitter, early_sigmas=early)
        loss = Loss()
        if table.loss is not None:
            loss_rate = get("loss.rate", table.loss.rate, high=0.9)
            burst = table.loss.burst
            loss = Loss(loss_rate, 1.0 if burst is None else get("loss.burst", burst, low=1, high=1000))
        if trace is not None and table.discipline == "pie":
            self.refuse(f"{way}.discipline", "pie needs a rate to estimate delay from; a trace has none")
        return Direction(
            rate_bps=rate_bps,
            queue_bytes=round(queue),
            discipline=table.discipline,
            delay_ms=get("delay_ms", table.delay_ms, high=10_000),
            jitter=jitter,
            loss=loss,
            bucket_bytes=round(get("bucket_bytes", table.bucket_bytes, high=1e9)) if table.bucket_bytes else 0,
            grant_ms=get("grant_ms", table.grant_ms, high=1000) if table.grant_ms else 0.0,
            pie_target_ms=get("pie_target_ms", table.pie_target_ms, low=1, high=1000)
            if table.discipline == "pie"
            else 10.0,
            trace=trace,
        )

    def _trace(self, way: str, table: DirectionTable) -> Trace | None:
        if isinstance(table.trace, str):
            return load_trace(self.beside / table.trace)
        if isinstance(table.trace, FadingTable):
            fading = table.trace
            if table.rate_mbps is None:
                self.refuse(f"{way}.rate_mbps", "is missing: a fading trace varies around it")
            if not (0 < fading.coherence_ms <= 1e6 and 1 <= fading.seconds <= 600 and 0 <= fading.sigma <= 2):
                self.refuse(f"{way}.trace", "needs coherence_ms above 0, 1 to 600 seconds and a sigma of at most 2")
            rate_mbps = _plain(table.rate_mbps)
            return fading_trace(rate_mbps * 1e6, fading.sigma, fading.coherence_ms, fading.seconds, fading.seed)
        return None

    def schedule(self, table: LinkTable, up: Direction, down: Direction) -> Iterator[Step]:
        now = {"up": up, "down": down}
        if any(later.at_s < earlier.at_s for earlier, later in zip(table.schedule, table.schedule[1:], strict=False)):
            self.refuse("schedule", "steps must stand in the order of at_s")
        for index, step in enumerate(table.schedule, start=1):
            where = f"schedule[{index}]"
            for name, seconds in (("at_s", step.at_s), ("over_s", step.over_s), ("outage_s", step.outage_s or 0.0)):
                if not 0 <= seconds <= _LONGEST_S:
                    self.refuse(f"{where}.{name}", f"{seconds:g} is not between 0 and {_LONGEST_S:g}")
            if all(value is None for value in (step.rate_mbps, step.loss, step.delay_ms, step.outage_s)):
                self.refuse(where, "changes nothing: give rate_mbps, loss, delay_ms or outage_s")
            if step.rate_mbps is not None and not 0.01 <= step.rate_mbps <= 100_000:
                self.refuse(f"{where}.rate_mbps", f"{step.rate_mbps:g} is not between 0.01 and 100000")
            if step.loss is not None and not 0 <= step.loss <= 0.9:
                self.refuse(f"{where}.loss", f"{step.loss:g} is not between 0 and 0.9")
            if step.delay_ms is not None and not 0 <= step.delay_ms <= 10_000:
                self.refuse(f"{where}.delay_ms", f"{step.delay_ms:g} is not between 0 and 10000")
            ways: list[Literal["up", "down"]] = ["up", "down"] if step.direction == "both" else [step.direction]
            for way in ways:
                if step.rate_mbps is not None and now[way].trace is not None:
                    self.refuse(f"{where}.rate_mbps", f"{way} follows a trace, which has its own rates")
                for made in _expanded(step, way, now[way]):
                    now[way] = made.of(now[way])
                    yield made


_FADE_STEP_MS = 200.0


def _expanded(step: StepTable, way: Literal["up", "down"], before: Direction) -> Iterator[Step]:
    at_ms = step.at_s * 1000
    if step.outage_s is not None:
        yield Step(at_ms, way, outage=True)
        yield Step(at_ms + step.outage_s * 1000, way, outage=False)
    parts = max(1, round(step.over_s * 1000 / _FADE_STEP_MS))

    def between(old: float, new: float | None, share: float) -> float | None:
        return None if new is None else old + (new - old) * share

    rate_bps = None if step.rate_mbps is None else step.rate_mbps * 1e6
    if rate_bps is None and step.loss is None and step.delay_ms is None:
        return
    for part in range(1, parts + 1):
        share = part / parts
        yield Step(
            at_ms + step.over_s * 1000 * (share if step.over_s else 0),
            way,
            rate_bps=between(before.rate_bps, rate_bps, share),
            loss_rate=between(before.loss.rate, step.loss, share),
            delay_ms=between(before.delay_ms, step.delay_ms, share),
        )


def figures(link: Link) -> dict[str, tuple[float, Provenance]]:
    """Every number of a link that has a provenance, by dotted name: value, source."""
    found: dict[str, tuple[float, Provenance]] = {}
    for name, source in link.provenance.items():
        value: Any = link
        for part in name.split("."):
            value = getattr(value, part)
        found[name] = float(value), source
    return found
