"""`fishladder loadtest saturate`: how many cameras fit on a link, what breaks first, and what a split would change."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import msgspec

from fishladder.loadtest.commands.options import (
    camera_options,
    command_line,
    gateway_options,
    out_dir,
    out_option,
    seed_option,
)
from fishladder.loadtest.commands.scenarios import links_of, scenario_of
from fishladder.loadtest.console import table
from fishladder.loadtest.errors import AssertionMissed, CannotEmulate, Inconclusive
from fishladder.loadtest.links.link import Link
from fishladder.loadtest.model.pool import pool
from fishladder.loadtest.model.run import Run
from fishladder.loadtest.report.assertions import Assertion, check_links, parse_assertion
from fishladder.loadtest.report.progress import Progress
from fishladder.loadtest.report.summary import LinkAnswer
from fishladder.loadtest.saturation.answer import Question, answer
from fishladder.loadtest.scenario import Scenario
from fishladder.loadtest.sources.ladder import Content


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
@click.option("--infer", is_flag=True, help="Real agents: a worker with the default model, not one that only commits.")
@gateway_options
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
    for name in ("gateway", "site", "token_file", "ca_file", "proxy", "most"):
        flags.pop(name)
    chosen = links_of(links, flags.pop("total"), flags.pop("splits"))
    check_links(wishes, [link.name for link, _ in chosen])
    if backend != "model":
        from fishladder.loadtest.emulation.privileges import enter

        try:
            enter(sys.argv[1:])
        except CannotEmulate as error:
            if backend == "netns":
                raise
            click.echo(f"real agents cannot be tried here, the model answers alone: {error}", err=True)
            backend = "model"
    folder = out_dir(out, "saturate")
    findings = Findings()
    try:
        with Progress() as progress:
            _ask(chosen, flags, backend, progress, findings)
    except KeyboardInterrupt:
        if findings.answers:
            findings.warnings.append("Interrupted before all was tried.")
            _write(folder, findings, [], flags, "interrupted")
            click.echo(f"interrupted; what was found until then: {folder / 'report.html'}", err=True)
        raise
    _conclude(folder, findings, wishes, flags)


@dataclass
class Findings:
    """The answers of links so far, every run, and what a reader must be warned of."""

    answers: list[LinkAnswer] = field(default_factory=list)
    runs: list[tuple[str, Run]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def _ask(
    chosen: list[tuple[Link, float | None]],
    flags: dict[str, Any],
    backend: str,
    progress: Progress,
    findings: Findings,
) -> None:
    scenarios = [(*scenario_of(link, flags, progress), share) for link, share in chosen]
    question = Question(
        target=flags["target"],
        seeds=flags["seeds"],
        first_seed=flags["seed"],
        with_tornado=not flags["no_tornado"],
    )
    with pool() as workers:
        for scenario, _, share in scenarios:
            said, made = answer(scenario, question, workers, progress.on_run, up_share=share)
            findings.answers.append(msgspec.structs.replace(said, detections=_detections(scenario, said)))
            findings.runs += [(said.link, run) for run in made]
            progress.say(_line(said))
    if backend == "model":
        return
    for index, (scenario, content, _) in enumerate(scenarios):
        said, real, warning = _confirmed(scenario, content, findings.answers[index], flags, backend, progress)
        findings.answers[index] = said
        findings.runs += [(said.link, run) for run in real]
        findings.warnings += [warning] if warning else []


def _confirmed(
    scenario: Scenario, content: Content, said: LinkAnswer, flags: dict[str, Any], backend: str, progress: Progress
) -> tuple[LinkAnswer, tuple[Run, ...], str]:
    from fishladder.loadtest.errors import SelfTestInvalid
    from fishladder.loadtest.saturation.confirm import confirm

    beyond = said.failing or said.passing + 1
    around = [cameras for cameras in (said.passing, beyond) if cameras]
    try:
        real = confirm(
            scenario,
            around,
            seed=flags["seed"],
            target=flags["target"],
            content=content,
            model=_model(progress) if flags["infer"] else None,
            progress=progress.step,
        )
    except (CannotEmulate, SelfTestInvalid) as error:
        if backend == "netns":
            raise
        progress.say(f"{said.link}: not confirmed by real agents: {error}")
        return msgspec.structs.replace(said, emulation=f"Not confirmed by real agents: {error}"), (), ""
    note, warning = real.note, ""
    if real.limited:
        warning = f"{said.link}: not a result of the link: {real.limited}."
        if backend == "auto":  # the model has answered, and this machine is too small to try it
            note, warning = (
                f"Not all confirmed by real agents, for which this machine is too small: {real.limited}. {note}",
                "",
            )
    said = msgspec.structs.replace(said, emulated=list(real.points), emulation=note)
    progress.say(f"{said.link}: {note}")
    return said, real.runs, warning


def _model(progress: Progress) -> str:
    from fishladder.inference.assets.cache import fetch

    return str(fetch("ssdlite-person", lambda what, done, total: progress.step(what, done, total or 0)))


def _detections(scenario: Scenario, said: LinkAnswer) -> str:
    """What the last camera costs, as far as `accuracy` was measured here."""
    from fishladder.loadtest.accuracy.worth import what_the_last_costs

    return what_the_last_costs(scenario, said)


def _line(said: LinkAnswer) -> str:
    upto = f"surely fails at {said.failing}" if said.failing else f"no limit found up to {said.limit}"
    return f"{said.link}: N* = {said.passing}, {upto} (fluid bound {said.fluid}); {said.cause}: {said.cause_text}"


def _conclude(folder: Path, findings: Findings, wishes: list[Assertion], flags: dict[str, Any]) -> None:
    found, warnings = findings.answers, findings.warnings
    checked = [
        wish.check(said, [run for link, run in findings.runs if link == said.link and run.backend == "model"])
        for wish in wishes
        for said in found
        if wish.link in (None, said.link)
    ]
    _write(folder, findings, checked, flags, "generator-limited" if warnings else "ok")
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


def _write(folder: Path, findings: Findings, checked: list[dict[str, Any]], flags: dict[str, Any], status: str) -> None:
    from fishladder.loadtest.report.saturation import write_report

    settings = {name: value for name, value in flags.items() if value not in (None, False)}
    write_report(folder, command_line(), findings.answers, findings.runs, settings, checked, findings.warnings, status)


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
