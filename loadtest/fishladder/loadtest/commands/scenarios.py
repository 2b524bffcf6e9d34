"""From flags to scenarios: which links, what each camera sends, and the footage it shows. Only `saturate` and what
answers in its place have them all.
"""

from dataclasses import replace
from typing import Any

from fishladder.loadtest.commands.options import camera_of, law_of
from fishladder.loadtest.links.link import Link
from fishladder.loadtest.links.load import load_link
from fishladder.loadtest.report.progress import Progress
from fishladder.loadtest.scenario import Adaptive, Scenario
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.ladder import Content, encoded, footage, ladder
from fishladder.wire.errors import ConfigError

_BASE_OF_SPLITS = "docsis30"


def scenario_of(link: Link, flags: dict[str, Any], progress: Progress) -> tuple[Scenario, Content]:
    """What is to be run on a link, and what its cameras show. Raises `ConfigError`."""
    spec = camera_of(dict(flags))
    if flags["infer"] and not flags["footage"]:
        raise ConfigError("--infer needs pictures to look at: give --footage vtest or bikes")
    if flags["infer"] and flags["transport"] != "stream":
        raise ConfigError("--infer knows frames again by the agent's stream only: leave out --uplink")
    if not 0 < flags["target"] <= 1:
        raise ConfigError(f"--target {flags['target']:g}: expected a fraction above 0 and up to 1")
    if not 5 <= flags["seconds"] <= 3600:
        raise ConfigError(f"--seconds {flags['seconds']:g}: expected 5 to 3600")
    adaptive = _adaptive(flags, spec, progress)
    scenario = Scenario(
        link=link,
        camera=spec,
        transport=flags["transport"],
        law=law_of(flags["congestion"]),
        seconds=flags["seconds"],
        adaptive=adaptive,
    )
    if not flags["footage"]:
        return scenario, Content()
    clip = footage(flags["footage"], progress.step)
    if adaptive is None:
        made = encoded(clip, spec, progress.step)
        return replace(scenario, footage=made.sizes), Content(clip=made)
    rungs = ladder(clip, spec, adaptive.floor_bps, progress.step)
    kept = tuple((rung.bitrate_bps, rung.sizes) for rung in rungs if rung.bitrate_bps >= adaptive.floor_bps)
    return replace(scenario, ladder=kept), Content(rungs=rungs)


def _adaptive(flags: dict[str, Any], spec: CameraSpec, progress: Progress) -> Adaptive | None:
    floor, floor_f1 = flags["floor"], flags["floor_f1"]
    if not flags["adaptive"]:
        if floor is not None or floor_f1 is not None:
            raise ConfigError("--floor and --floor-f1 go with --adaptive")
        return None
    if flags["transport"] != "stream":
        raise ConfigError("--adaptive: agents adapt on their own stream, leave out --uplink")
    if (floor is None) == (floor_f1 is None):
        raise ConfigError("--adaptive needs to know when a camera is of no use: give --floor MBIT or --floor-f1 F1")
    if floor_f1 is not None:
        from fishladder.loadtest.accuracy.table import floor_bps

        return Adaptive(floor_bps(floor_f1, spec, progress.step))
    if not 0 < floor * 1e6 <= spec.bitrate_bps:
        raise ConfigError(f"--floor {floor:g}: expected above 0 and up to --bitrate")
    return Adaptive(floor * 1e6)


def links_of(names: tuple[str, ...], total: float | None, splits: str | None) -> list[tuple[Link, float | None]]:
    """Links with the upstream share, where a total is split. Raises `ConfigError`."""
    if (total is None) != (splits is None):
        raise ConfigError("--total and --split go together, such as --total 232 --split 95:5,50:50")
    if total is None or splits is None:
        if not names:
            raise ConfigError("which link? --link NAME (`fishladder loadtest links` lists presets), or --total/--split")
        return [(load_link(name), None) for name in dict.fromkeys(names)]
    if len(names) > 1:
        raise ConfigError("--split takes the line's delay, loss and queues from one --link")
    if not 0.02 <= total <= 100_000:
        raise ConfigError(f"--total {total:g}: expected 0.02 to 100000 Mbit/s")
    base = load_link(names[0] if names else _BASE_OF_SPLITS)
    if base.up.trace or base.down.trace or base.schedule:
        raise ConfigError(f"--split: the rate of {base.name} changes while it runs and cannot be divided")
    parts = dict.fromkeys(text.strip() for text in splits.split(",") if text.strip())
    if not parts:
        raise ConfigError("--split is empty: expected DOWN:UP shares, such as 95:5,50:50")
    return [(base.total_split(total * 1e6, share, name), share) for share, name in map(_share, parts)]


def _share(text: str) -> tuple[float, str]:
    down, colon, up = text.partition(":")
    try:
        parts = float(down), float(up)
    except ValueError:
        parts = 0.0, 0.0
    if not colon or not all(0 < part < float("inf") for part in parts):
        raise ConfigError(f"--split {text!r}: expected DOWN:UP, such as 95:5")
    return parts[1] / sum(parts), text
