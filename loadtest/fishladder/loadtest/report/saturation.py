"""Writes the report of `saturate`: summary.json, samples.csv, report.html and its figures as PNG for slides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fishladder.loadtest.model.run import Run
from fishladder.loadtest.report import plots
from fishladder.loadtest.report.html import page
from fishladder.loadtest.report.plots import Plot, fits
from fishladder.loadtest.report.samples import write_samples
from fishladder.loadtest.report.style import png
from fishladder.loadtest.report.summary import LinkAnswer, new_summary, write_summary


def write_report(
    folder: Path,
    command: str,
    found: Sequence[LinkAnswer],
    runs: Sequence[tuple[str, Run]],
    settings: dict[str, Any],
    assertions: list[dict[str, Any]],
    warnings: Sequence[str],
    status: str,
) -> None:
    summary = new_summary(
        "saturate",
        command,
        settings["seed"],
        settings,
        answers=list(found),
        assertions=assertions,
        status=status,
    )
    write_summary(summary, folder / "summary.json")
    write_samples(runs, folder / "samples.csv")
    made = figures_of(found, settings["target"], settings["deadline"])
    for plot in made:
        (folder / f"{plot.name.replace('/', '-').replace(':', '-')}.png").write_bytes(png(plot.figure))
    text = page(
        summary,
        title="How many cameras fit on the uplink",
        answers=[_sentence(said, settings["target"]) for said in found],
        plots=made,
        tables=_tables(found, runs),
        warnings=[*warnings, *_missed(assertions)],
    )
    (folder / "report.html").write_text(text)


def figures_of(found: Sequence[LinkAnswer], target: float, deadline_ms: float) -> list[Plot]:
    made = []
    if len(found) > 1 and all(said.up_share is not None for said in found):
        made.append(plots.shares(found))
    elif len(found) > 1:
        made.append(plots.capacities(found))
    made.append(plots.knees(found, target))
    if any(said.ages for said in found):
        made.append(plots.delays(found, deadline_ms))
    for said in found:
        if said.ages:
            made.append(plots.time_series(said, deadline_ms))
        if (bars := plots.tornado(said)) is not None:
            made.append(bars)
    return made


def _sentence(said: LinkAnswer, target: float) -> str:
    at_least = "" if said.failing else "at least "
    text = (
        f"{said.link}{_rates(said)} carries {at_least}{fits(said)} of "
        f"{said.camera}, each with {target:.0%} of its frames decodable in time. "
    )
    text += f"It surely fails at {said.failing}. " if said.failing else f"No limit was found up to {said.limit}. "
    return text + f"Cause: {said.cause}. {said.cause_text} {said.detections}".rstrip()


def _tables(found: Sequence[LinkAnswer], runs: Sequence[tuple[str, Run]]) -> list[tuple[str, list[tuple[str, ...]]]]:
    if any(said.up_bps for said in found):
        return [("Links", _links(found)), ("Real agents against the model", _emulated(found)), *_sources(found)]
    rows: list[tuple[str, ...]] = [("N", "decodable", "p50 ms", "p95 ms", "p99 ms", "Mbit/s offered", "late p95 ms")]
    rows += [
        (
            str(run.cameras),
            f"{run.decodable:.1%}",
            f"{run.age_p50_ms:.0f}",
            f"{run.age_p95_ms:.0f}",
            f"{run.age_p99_ms:.0f}",
            f"{run.offered_bps / 1e6:.2f}",
            f"{run.lateness_p95_ms:.1f}",
        )
        for _, run in sorted(runs, key=lambda each: each[1].cameras)
    ]
    return [("Real agents over your own line, one run at each N: no interval", rows)]


def _rates(said: LinkAnswer) -> str:
    """Nothing for a line whose rates nobody knows."""
    return f" ({said.down_bps / 1e6:.3g} down, {said.up_bps / 1e6:.3g} up Mbit/s)" if said.up_bps else ""


def _missed(assertions: Sequence[dict[str, Any]]) -> list[str]:
    return [f"Missed on {it['link']}: {it['assertion']} (found {it['found']})" for it in assertions if not it["holds"]]


def _links(found: Sequence[LinkAnswer]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (
            "link",
            "down/up Mbit/s",
            "RTT ms",
            "loss",
            "queue up",
            "N*",
            "surely fails at",
            "fluid bound",
            "cause",
            "n tried",
        )
    ]
    for said in found:
        tried = "every n up to N*" if said.every_n else "a choice of n: the first 60 or so and those next to N*"
        rows.append(
            (
                said.link,
                f"{said.down_bps / 1e6:.3g}/{said.up_bps / 1e6:.3g}",
                f"{said.rtt_ms:.3g}",
                f"{said.loss:.2%}",
                f"{said.queue_ms:.0f} ms {said.discipline}",
                str(said.passing),
                str(said.failing or f"> {said.limit}"),
                str(said.fluid),
                said.cause,
                tried,
            )
        )
    return rows


def _emulated(found: Sequence[LinkAnswer]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (
            "link",
            "N",
            "decodable, real",
            "model, same seed",
            "model, single runs",
            "p50 ms",
            "p95 ms",
            "late p95 ms",
            "TCP",
            "cores",
            "",
        )
    ]
    for said in found:
        for it in said.emulated:
            cores = ", ".join(f"{part} {used:.2f}" for part, used in it.cores.items())
            rows.append(
                (
                    said.link,
                    str(it.cameras),
                    f"{it.decodable:.1%}" + (f" at {it.camera_bps / 1000:.0f} kbit/s" if it.camera_bps else ""),
                    f"{it.model:.1%}",
                    "{:.1%} to {:.1%}".format(*it.model_range) if it.model_range else "",
                    f"{it.age_p50_ms:.0f}",
                    f"{it.age_p95_ms:.0f}",
                    f"{it.lateness_p95_ms:.1f}",
                    it.congestion_control if it.congestion_control != "none" else "",
                    cores,
                    "agree" if it.agrees else "differ",
                )
            )
        rows.append((said.link, said.emulation or "not run", *[""] * 9))
    return rows


def _sources(found: Sequence[LinkAnswer]) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Where each number of a link comes from."""
    made = []
    for said in found:
        rows: list[tuple[str, ...]] = [("number", "value", "", "from")]
        for name, figure in said.figures.items():
            kind = "assumed" if "assumed" in figure else "source"
            rows.append((name, f"{figure['value']:g}", kind, str(figure[kind])))
        made.append((f"{said.link}: where its numbers come from", rows))
    return made
