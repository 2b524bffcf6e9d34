"""`fishladder loadtest saturate`: how many cameras fit on a link, what breaks first, and what a split would change."""

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from fishladder.loadtest.commands.options import (
    camera_of,
    camera_options,
    command_line,
    law_of,
    out_dir,
    out_option,
    seed_option,
)
from fishladder.loadtest.console import table
from fishladder.loadtest.errors import AssertionMissed, CannotEmulate, Inconclusive
from fishladder.loadtest.links.link import Link
from fishladder.loadtest.links.load import load_link
from fishladder.loadtest.model.pool import pool
from fishladder.loadtest.model.run import Run
from fishladder.loadtest.report.assertions import Assertion, parse_assertion
from fishladder.loadtest.report.progress import Progress
from fishladder.loadtest.report.summary import LinkAnswer
from fishladder.loadtest.saturation.answer import Question, answer
from fishladder.loadtest.scenario import Adaptive, Scenario
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.wire.errors import ConfigError

_BASE_OF_SPLITS = "docsis30"


@click.command()
@click.option("--link", "links", multiple=True, help="A preset or a TOML file; may be repeated. Of a split, the line.")
@click.option("--total", type=float, help="Mbit/s down and up together, to be divided by --split.")
@click.option("--split", "splits", help="Shares of --total, DOWN:UP, such as 95:5,80:20,50:50.")
@camera_options
@click.option("--adaptive", is_flag=True, help="Cameras lower their rate to what is free, down to a floor.")
@click.option("--floor", type=float, help="With --adaptive: Mbit/s below which a camera is of no use.")
@click.option(
    "--floor-f1", type=float, help="With --adaptive: the floor is the lowest rate with this F1 (see `accuracy`)."
)
@click.option("--target", type=float, default=0.99, show_default=True, help="Fraction of frames decodable in time.")
@click.option("--seeds", type=click.IntRange(2), default=30, show_default=True, help="Model runs at each N.")
@seed_option
@click.option("--seconds", type=float, default=40.0, show_default=True, help="Counted seconds of a model run.")
@click.option(
    "--backend",
    type=click.Choice(["auto", "model", "netns"]),
    default="auto",
    show_default=True,
    help="The model only, or confirmed around the knee with real agents over emulated links (auto: where possible).",
)
@click.option("--gateway", help="Your own stack: real agents here send to it over your own line, instead of a link.")
@click.option("--site", default="loadtest", show_default=True, help="With --gateway: the site the token is for.")
@click.option("--token-file", type=click.Path(dir_okay=False, path_type=Path), help="With --gateway: its token.")
@click.option(
    "--cameras", "most", type=click.IntRange(1), default=32, show_default=True, help="With --gateway: at most."
)
@click.option("--no-tornado", is_flag=True, help="Leave out what N* rests on: a third of the time.")
@click.option("--assert", "asserts", multiple=True, help="Exit 99 unless it holds, such as 'decodable>=0.99@N=8'.")
@out_option
def saturate(links: tuple[str, ...], out: Path | None, asserts: tuple[str, ...], **flags: Any) -> None:
    """Find how many cameras fit on a link, what breaks first, and whether another split of it would carry more.

    N* is the largest N such that for every n up to it the one-sided 95 % bound of the fraction of frames decodable by
    their deadline, of the worst camera, reaches the target. A packet-level model finds it; real agents over an
    emulated link then confirm it at N* and past it, where this machine can do that.

    \b
    fishladder loadtest saturate --link docsis30 --link fibre-100
    fishladder loadtest saturate --total 232 --split 95:5,80:20,65:35,50:50
    fishladder loadtest saturate --link lte --bitrate 0.5 --adaptive --floor 0.3
    fishladder loadtest saturate --link my.toml --backend model --assert 'decodable>=0.99@N=8'
    fishladder loadtest saturate --gateway https://gw.example:8889 --token-file token
    """
    wishes = [parse_assertion(text) for text in asserts]
    if flags["gateway"]:
        from fishladder.loadtest.commands.own_gateway import saturate_own

        saturate_own(links, out, wishes, flags)
        return
    backend = flags.pop("backend")
    for name in ("gateway", "site", "token_file", "most"):
        flags.pop(name)
    chosen = _links(links, flags.pop("total"), flags.pop("splits"))
    if backend != "model":
        from fishladder.loadtest.emulation.privileges import enter

        try:
            enter(sys.argv[1:])
        except CannotEmulate as error:
            if backend == "netns":
                raise
            click.echo(f"real agents cannot be tried here, the model answers alone: {error}", err=True)
            backend = "model"
    with Progress() as progress:
        found, runs, warnings = _ask(chosen, flags, backend, progress)
    _conclude(out, found, runs, warnings, wishes, flags)


def _ask(
    chosen: list[tuple[Link, float | None]], flags: dict[str, Any], backend: str, progress: Progress
) -> tuple[list[LinkAnswer], list[tuple[str, Run]], list[str]]:
    """The answers of all links, every run, and what a reader must be warned of."""
    scenarios = [(scenario_of(link, flags, progress), share) for link, share in chosen]
    question = Question(
        target=flags["target"],
        seeds=flags["seeds"],
        first_seed=flags["seed"],
        with_tornado=not flags["no_tornado"],
    )
    found: list[LinkAnswer] = []
    runs: list[tuple[str, Run]] = []
    warnings: list[str] = []
    with pool() as workers:
        for scenario, share in scenarios:
            said, made = answer(scenario, question, workers, progress.on_run, up_share=share)
            found.append(said)
            runs += [(said.link, run) for run in made]
            progress.say(_line(said))
    found = [
        msgspec.structs.replace(said, detections=_detections(s, said))
        for (s, _), said in zip(scenarios, found, strict=True)
    ]
    if backend != "model":
        for index, (scenario, _) in enumerate(scenarios):
            found[index], real, warning = _confirmed(scenario, found[index], flags, backend, progress)
            runs += [(found[index].link, run) for run in real]
            warnings += [warning] if warning else []
    return found, runs, warnings


def _confirmed(
    scenario: Scenario, said: LinkAnswer, flags: dict[str, Any], backend: str, progress: Progress
) -> tuple[LinkAnswer, tuple[Run, ...], str]:
    from fishladder.loadtest.errors import SelfTestInvalid
    from fishladder.loadtest.saturation.confirm import confirm

    beyond = said.failing or said.passing + 1
    around = [cameras for cameras in (said.passing, beyond) if cameras]
    try:
        real = confirm(scenario, around, seed=flags["seed"], target=flags["target"], progress=progress.step)
    except (CannotEmulate, SelfTestInvalid) as error:
        if backend == "netns":
            raise
        progress.say(f"{said.link}: not confirmed by real agents: {error}")
        return msgspec.structs.replace(said, emulation=f"Not confirmed by real agents: {error}"), (), ""
    said = msgspec.structs.replace(said, emulated=list(real.points), emulation=real.note)
    progress.say(f"{said.link}: {real.note}")
    warning = f"{said.link}: not a result of the link: {real.limited}." if real.limited else ""
    return said, real.runs, warning


def _detections(scenario: Scenario, said: LinkAnswer) -> str:
    """What the last camera costs, as far as `accuracy` was measured here."""
    from fishladder.loadtest.accuracy.worth import what_the_last_costs

    return what_the_last_costs(scenario, said)


def scenario_of(link: Link, flags: dict[str, Any], progress: Progress) -> Scenario:
    """From the flags. Raises `ConfigError`."""
    given = dict(flags)
    spec = camera_of(given)
    if not 0 < flags["target"] <= 1:
        raise ConfigError(f"--target {flags['target']:g}: expected a fraction above 0 and up to 1")
    if not 5 <= flags["seconds"] <= 3600:
        raise ConfigError(f"--seconds {flags['seconds']:g}: expected 5 to 3600")
    sizes = None
    if flags["footage"]:
        from fishladder.loadtest.sources.ladder import encoded, footage

        sizes = encoded(footage(flags["footage"], progress.step), spec, progress.step).sizes
    return Scenario(
        link=link,
        camera=spec,
        transport=flags["transport"],
        law=law_of(flags["congestion"]),
        seconds=flags["seconds"],
        adaptive=_adaptive(flags, spec, progress),
        footage=sizes,
    )


def _adaptive(flags: dict[str, Any], spec: CameraSpec, progress: Progress) -> Adaptive | None:
    floor, floor_f1 = flags["floor"], flags["floor_f1"]
    if not flags["adaptive"]:
        if floor is not None or floor_f1 is not None:
            raise ConfigError("--floor and --floor-f1 go with --adaptive")
        return None
    if flags["footage"]:
        raise ConfigError("--adaptive draws frame sizes for each rate: leave out --footage")
    if (floor is None) == (floor_f1 is None):
        raise ConfigError("--adaptive needs to know when a camera is of no use: give --floor MBIT or --floor-f1 F1")
    if floor_f1 is not None:
        from fishladder.loadtest.accuracy.table import floor_bps

        return Adaptive(floor_bps(floor_f1, spec, progress.step))
    if not 0 < floor * 1e6 <= spec.bitrate_bps:
        raise ConfigError(f"--floor {floor:g}: expected above 0 and up to --bitrate")
    return Adaptive(floor * 1e6)


def _links(names: tuple[str, ...], total: float | None, splits: str | None) -> list[tuple[Link, float | None]]:
    """Links with the upstream share, where a total is split."""
    if (total is None) != (splits is None):
        raise ConfigError("--total and --split go together, such as --total 232 --split 95:5,50:50")
    if total is None or splits is None:
        if not names:
            raise ConfigError("which link? --link NAME (`fishladder loadtest links` lists presets), or --total/--split")
        return [(load_link(name), None) for name in names]
    if len(names) > 1:
        raise ConfigError("--split takes the line's delay, loss and queues from one --link")
    if not total > 0:
        raise ConfigError(f"--total {total:g}: expected Mbit/s above 0")
    base = load_link(names[0] if names else _BASE_OF_SPLITS)
    if base.up.trace or base.schedule:
        raise ConfigError(f"--split: the rate of {base.name} changes while it runs and cannot be divided")
    return [(base.total_split(total * 1e6, share, name), share) for share, name in map(_share, splits.split(","))]


def _share(text: str) -> tuple[float, str]:
    down, colon, up = text.strip().partition(":")
    try:
        parts = float(down), float(up)
    except ValueError:
        parts = 0.0, 0.0
    if not colon or min(parts) <= 0:
        raise ConfigError(f"--split {text!r}: expected DOWN:UP, such as 95:5")
    return parts[1] / sum(parts), text.strip()


def _line(said: LinkAnswer) -> str:
    upto = f"surely fails at {said.failing}" if said.failing else f"no limit found up to {said.limit}"
    return f"{said.link}: N* = {said.passing}, {upto} (fluid bound {said.fluid}); {said.cause}: {said.cause_text}"


def _conclude(
    out: Path | None,
    found: list[LinkAnswer],
    runs: list[tuple[str, Run]],
    warnings: list[str],
    wishes: list[Assertion],
    flags: dict[str, Any],
) -> None:
    from fishladder.loadtest.report.saturation import write_report

    checked = [
        wish.check(said, [run for link, run in runs if link == said.link and run.backend == "model"])
        for wish in wishes
        for said in found
        if wish.link in (None, said.link)
    ]
    status = "generator-limited" if warnings else "ok"
    folder = out_dir(out, "saturate")
    settings = {name: value for name, value in flags.items() if value not in (None, False)}
    write_report(folder, command_line(), found, runs, settings, checked, warnings, status)
    click.echo(_table(found))
    for said in found:
        if said.detections:
            click.echo(f"{said.link}: {said.detections}")
    click.echo(f"report: {folder / 'report.html'}")
    missed = [it for it in checked if not it["holds"]]
    if missed:
        raise AssertionMissed("; ".join(f"{it['link']}: {it['assertion']} (found {it['found']})" for it in missed))
    if warnings:
        raise Inconclusive(" ".join(warnings))
    if any(said.failing is None for said in found):
        raise Inconclusive("on some link no N surely failed: more --seeds, or the cameras are too small for it")


def _table(found: list[LinkAnswer]) -> str:
    rows = [("link", "down/up Mbit/s", "N*", "surely fails at", "fluid bound", "cause", "real agents")]
    for said in found:
        agreed = f"{sum(it.agrees for it in said.emulated)}/{len(said.emulated)} agree" if said.emulated else "not run"
        rows.append(
            (
                said.link,
                f"{said.down_bps / 1e6:.3g}/{said.up_bps / 1e6:.3g}",
                str(said.passing),
                str(said.failing or f"> {said.limit}"),
                str(said.fluid),
                said.cause,
                agreed,
            )
        )
    return table(rows)
