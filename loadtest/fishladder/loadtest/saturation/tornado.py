"""How far N* rests on what is assumed: each assumption made smaller and larger by itself, all else as it is."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from fishladder.loadtest.links.link import Link
from fishladder.loadtest.model.fluid import fluid_bound
from fishladder.loadtest.model.pool import Pool
from fishladder.loadtest.saturation.sweep import OnRun, Sweep
from fishladder.loadtest.scenario import Scenario

#: Fewer and shorter runs than for N* itself: the question is which bar is long, not its last digit. What counts is by
#: how much N* of such runs moves.
SEEDS, SECONDS = 6, 20.0
#: What a number of a link may be off by, from its name; first found counts.
_FACTORS = (
    ("rate_bps", 0.8, 1.2),
    ("queue_bytes", 0.5, 2.0),
    ("loss.rate", 0.0, 3.0),
    ("jitter.ms", 0.0, 2.0),
    ("early_sigmas", 0.0, 3.0),
    ("delay_ms", 0.5, 2.0),
    ("", 0.5, 2.0),
)
_NAMES = {
    "rate_bps": ("rate", 1e-6, "Mbit/s"),
    "queue_bytes": ("queue", 1e-3, "KB"),
    "loss.rate": ("loss", 100.0, "%"),
    "loss.burst": ("loss burst", 1.0, "packets"),
    "jitter.ms": ("jitter", 1.0, "ms"),
    "jitter.early_sigmas": ("earliest", 1.0, "sigma"),
    "delay_ms": ("delay", 1.0, "ms"),
    "grant_ms": ("grant cycle", 1.0, "ms"),
    "bucket_bytes": ("burst bucket", 1e-3, "KB"),
    "pie_target_ms": ("PIE target", 1.0, "ms"),
}


@dataclass(frozen=True)
class Bar:
    """N* with an assumption at either end of its range; the ends are named as a reader would."""

    name: str
    low: str
    high: str
    low_passing: int
    high_passing: int

    @property
    def swing(self) -> int:
        return abs(self.high_passing - self.low_passing)


def tornado(
    scenario: Scenario, passing: int, pool: Pool, *, first_seed: int, target: float, what: str, on_run: OnRun
) -> list[Bar]:
    """A bar for each assumption, the longest first."""
    short = replace(scenario, seconds=min(SECONDS, scenario.seconds))

    def knee(variant: Scenario, name: str, guess: int) -> int:
        sweep = Sweep(variant, pool, first_seed=first_seed, what=f"{what}, {name}", on_run=on_run)
        return sweep.knee(target=target, seeds=SEEDS, guess=max(guess, 1), all_below=False).passing

    base = knee(short, "in short runs", passing)
    bars = []
    for name, ends in _variants(short):
        found = []
        for label, variant in ends:
            # What the assumption does to the mean rates is known beforehand: begin the search there.
            most = fluid_bound(variant)
            guess = base + most - fluid_bound(scenario)
            moved = knee(variant, f"if {name} {label}", guess) - base if variant != short else 0
            found.append(min(max(passing + moved, 0), max(most, passing)))
        bars.append(Bar(name, ends[0][0], ends[1][0], found[0], found[1]))
    return sorted(bars, key=lambda bar: -bar.swing)


def _variants(scenario: Scenario) -> Iterator[tuple[str, list[tuple[str, Scenario]]]]:
    link, camera = scenario.link, scenario.camera
    for name in link.assumed():
        way, _, field = name.partition(".")
        if way != "up" and field not in ("delay_ms",):
            continue  # only acknowledgements go down
        if scenario.transport != "stream" and way == "down":
            continue
        value = _value(link, name)
        if not value or field not in _NAMES:
            continue
        low, high = next((low, high) for part, low, high in _FACTORS if part in field)
        said, unit, suffix = _NAMES[field]
        ends = [
            (f"{value * factor * unit:.3g} {suffix}", replace(scenario, link=_scaled(link, name, factor)))
            for factor in (low, high)
        ]
        yield f"{'down' if way == 'down' else 'up'} {said}", ends
    if scenario.footage is None and scenario.adaptive is None:  # whose encoders smooth both
        yield (
            "keyframe size",
            [(f"{ratio:g} x P", replace(scenario, camera=replace(camera, ip_ratio=ratio))) for ratio in (5.0, 20.0)],
        )
        yield (
            "spread of sizes",
            [(f"sigma {sigma:g}", replace(scenario, camera=replace(camera, sigma=sigma))) for sigma in (0.0, 0.4)],
        )
    if scenario.transport == "stream":
        yield "congestion control", [("cubic", replace(scenario, law="cubic")), ("bbr", replace(scenario, law="bbr"))]
    yield (
        "phases of cameras",
        [
            ("aligned", replace(scenario, camera=replace(camera, phases="aligned"))),
            ("staggered", replace(scenario, camera=replace(camera, phases="staggered"))),
        ],
    )


def _scaled(link: Link, name: str, factor: float) -> Link:
    """A line of another rate has a queue as long in time, as it is bought."""
    changed = link.scaled(name, factor)
    way, _, field = name.partition(".")
    return changed.scaled(f"{way}.queue_bytes", factor) if field == "rate_bps" else changed


def _value(link: object, name: str) -> float:
    for part in name.split("."):
        link = getattr(link, part)
    assert isinstance(link, int | float)
    return float(link)
