"""Writes the report of `fanin`: the win and lose maps, completeness with F^N overlaid, and effective parallelism."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from fishladder.loadtest.fanin.contest import COUNTS, SHARES, Cell
from fishladder.loadtest.fanin.sets import FanIn
from fishladder.loadtest.report.html import page
from fishladder.loadtest.report.plots import Plot
from fishladder.loadtest.report.style import COLOURS, GREY, axes, figure, png
from fishladder.loadtest.report.summary import new_summary, write_summary

_FILL = {"steady": "#b9d7ec", "fast": "#f6c9a8", "neither": "#eeeeee"}
_WHERE = {"shared": "all cameras on one link", "per-site": "a link for each camera"}


def write_report(
    folder: Path,
    command: str,
    cells: Sequence[Cell],
    seed: int,
    settings: dict[str, Any],
    note: str,
    status: str = "ok",
) -> None:
    rows = [{**asdict(cell), "winner": cell.winner} for cell in cells]
    summary = new_summary("fanin", command, seed, settings, findings={"cells": rows, "note": note}, status=status)
    write_summary(summary, folder / "summary.json")
    made = []
    for sites in ("shared", "per-site"):
        if not any(cell.sites == sites for cell in cells):  # it was interrupted
            continue
        made += [_map(cells, sites, settings), _completeness(cells, sites, settings)]
    if len(made) > 2:
        made.append(_parallelism(cells, settings))
    for plot in made:
        (folder / f"{plot.name}.png").write_bytes(png(plot.figure))
    text = page(
        summary,
        title="Frames that must arrive together: fast and jittery, or slower and steady?",
        answers=[plot.says for plot in made if plot.name.startswith("map")],
        plots=made,
        tables=[("Measured with real agents over emulated links", _measured_rows(cells))],
        warnings=[note] if note else [],
    )
    (folder / "report.html").write_text(text)


def write_own(
    folder: Path, command: str, found: Sequence[FanIn], seed: int, settings: dict[str, Any], limits: Sequence[str]
) -> None:
    """The report of one line, measured with real agents."""
    rows = [{**asdict(it), "independent": it.independent} for it in found]
    status = "generator-limited" if limits else "ok"
    summary = new_summary("fanin", command, seed, settings, findings={"sets": rows}, status=status)
    write_summary(summary, folder / "summary.json")
    fig = figure()
    ax = axes(fig, title="Complete sets in time", x="cameras that must arrive together", y="sets complete in time")
    n = [it.cameras for it in found]
    ax.plot(n, [it.complete for it in found], color=COLOURS[0], marker="o", label="measured")
    ax.plot(
        n,
        [it.independent for it in found],
        color=COLOURS[0],
        linestyle=":",
        label="F^N, were they independent",
    )
    ax.set_xticks(n)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_ylim(-0.03, 1.04)
    fig.legend(loc="outside lower center", ncols=2, frameon=False)
    last = found[-1]
    says = (
        f"Of {last.cameras} cameras {last.complete:.1%} of the sets are complete within {settings['deadline_ms']:g} ms "
        f"at {settings['gateway']}; half are within {last.set_p50_ms:.0f} ms, 95% within {last.set_p95_ms:.0f} ms. "
        f"Effective parallelism is {last.parallelism:.2f}."
    )
    plot = Plot("complete", fig, says)
    (folder / "complete.png").write_bytes(png(fig))
    text = page(
        summary,
        title="Frames that must arrive together, over your own line",
        answers=[says],
        plots=[plot],
        warnings=[f"Not a result of the line: {limit}." for limit in limits],
    )
    (folder / "report.html").write_text(text)


def _map(cells: Sequence[Cell], sites: str, settings: dict[str, Any]) -> Plot:
    fig = figure(height=5.4)
    ax: Any = axes(
        fig,
        title=f"Who delivers more complete sets ({_WHERE[sites]})",
        x="cameras that must arrive together",
        y=f"rate of the steady link,\nas a share of {settings['fast']}",
    )
    for cell in cells:
        if cell.sites != sites:
            continue
        column, row = COUNTS.index(cell.cameras), SHARES.index(cell.share)
        if cell.backend == "model":
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=_FILL[cell.winner], edgecolor="white"))
            name = {"steady": "STEADY", "fast": "FAST", "neither": "-"}[cell.winner]
            ax.text(column, row + 0.14, name, ha="center", va="center", fontsize=10, fontweight="bold")
            said = f"{cell.steady.complete:.0%} / {cell.fast.complete:.0%}"
            ax.text(column, row - 0.2, said, ha="center", va="center", fontsize=9)
        else:
            colour = COLOURS[0] if cell.winner == "steady" else COLOURS[1] if cell.winner == "fast" else GREY
            frame = Rectangle(
                (column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=colour, linewidth=3, zorder=4
            )
            ax.add_patch(frame)
    ax.set_xlim(-0.5, len(COUNTS) - 0.5)
    ax.set_ylim(-0.5, len(SHARES) - 0.5)
    ax.set_xticks(range(len(COUNTS)), [str(count) for count in COUNTS])
    ax.set_yticks(range(len(SHARES)), [f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" for share in SHARES])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return Plot(f"map-{sites}", fig, _map_says(cells, sites, settings))


def _map_says(cells: Sequence[Cell], sites: str, settings: dict[str, Any]) -> str:
    modelled = [cell for cell in cells if cell.sites == sites and cell.backend == "model"]
    wins = [cell for cell in modelled if cell.winner == "steady" and cell.share < 1 and cell.cameras > 1]
    says = f"With {_WHERE[sites]}, "
    if wins:
        least = min(wins, key=lambda cell: (cell.share, -cell.cameras))
        says += (
            f"{settings['steady']} at {least.share:.3g} of the rate of {settings['fast']} still wins at N = "
            f"{least.cameras}: {least.steady.complete:.1%} of sets are complete within {settings['deadline_ms']:g} ms "
            f"against {least.fast.complete:.1%}, and 95% of all sets that come whole within "
            f"{least.steady.set_p95_ms:.0f} ms against {least.fast.set_p95_ms:.0f}. "
        )
    else:
        says += f"no slower {settings['steady']} beats {settings['fast']}. "
    loses = sum(cell.winner == "fast" for cell in modelled)
    says += f"The fast link wins {loses} of {len(modelled)} cells. In a cell: complete sets, steady / fast."
    real = [cell for cell in cells if cell.sites == sites and cell.backend != "model"]
    if real:
        agree = sum(
            cell.winner == twin.winner
            for cell in real
            for twin in modelled
            if (twin.share, twin.cameras) == (cell.share, cell.cameras)
        )
        says += f" Framed cells were measured with real agents (the frame's colour is who won): {agree} of {len(real)} "
        says += "agree with the model."
    return says


def _completeness(cells: Sequence[Cell], sites: str, settings: dict[str, Any]) -> Plot:
    fig = figure()
    ax = axes(
        fig,
        title=f"Complete sets in time ({_WHERE[sites]})",
        x="cameras that must arrive together",
        y="sets complete in time",
    )
    share = 0.5
    rows = sorted(
        (cell for cell in cells if cell.sites == sites and cell.backend == "model" and cell.share == share),
        key=lambda cell: cell.cameras,
    )
    n = [cell.cameras for cell in rows]
    pairs = (
        ([cell.fast for cell in rows], settings["fast"], COLOURS[1], "s"),
        ([cell.steady for cell in rows], f"{settings['steady']} at {share:.0%} of its rate", COLOURS[0], "o"),
    )
    for found, name, colour, marker in pairs:
        ax.plot(n, [it.complete for it in found], color=colour, marker=marker, label=name)
        ax.plot(
            n,
            [it.independent for it in found],
            color=colour,
            linestyle=":",
            label=f"{name}: F^N, were they independent",
        )
    _count_axis(ax)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_ylim(-0.03, 1.04)
    fig.legend(loc="outside lower center", ncols=2, frameon=False)
    last = rows[-1]
    says = (
        f"With {_WHERE[sites]} and {last.cameras} cameras {settings['fast']} completes {last.fast.complete:.0%} of the "
        f"sets, {settings['steady']} at half its rate {last.steady.complete:.0%}. Dotted is what the share of single "
        "frames in time, to the power of N, would give: frames that share a queue are late together, which is better "
        "than late independently."
    )
    return Plot(f"complete-{sites}", fig, says)


def _parallelism(cells: Sequence[Cell], settings: dict[str, Any]) -> Plot:
    fig = figure()
    ax = axes(
        fig,
        title="What waiting for the slowest costs",
        x="cameras that must arrive together",
        y="mean age of a frame / of a set",
    )
    for sites, style in (("shared", "-"), ("per-site", "--")):
        rows = sorted(
            (cell for cell in cells if cell.sites == sites and cell.backend == "model" and cell.share == SHARES[-1]),
            key=lambda cell: cell.cameras,
        )
        n = [cell.cameras for cell in rows]
        for name, colour, found in (
            (settings["fast"], COLOURS[1], [cell.fast for cell in rows]),
            (settings["steady"], COLOURS[0], [cell.steady for cell in rows]),
        ):
            label = f"{name}, {_WHERE[sites]}"
            ax.plot(
                n, [it.parallelism or math.nan for it in found], color=colour, linestyle=style, marker="o", label=label
            )
    _count_axis(ax)
    ax.set_ylim(0, 1.05)
    fig.legend(loc="outside lower center", ncols=2, frameon=False)
    return Plot(
        "parallelism",
        fig,
        "Effective parallelism, mean / E[max of N], at equal rates: at 1 a set is as young as a frame; at 0.5 a model "
        "waits twice as long for a set as a single camera's frame takes.",
    )


def _count_axis(ax: Any) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(COUNTS), [str(count) for count in COUNTS])
    ax.minorticks_off()


def _measured_rows(cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (
            "N",
            "steady link's rate",
            "complete: steady",
            "fast",
            "p95 of a set, ms: steady",
            "fast",
            "parallelism: steady",
            "fast",
            "wins",
        )
    ]
    for cell in cells:
        if cell.backend == "model":
            continue
        rows.append(
            (
                str(cell.cameras),
                f"{cell.share:.3g} of the fast one's",
                f"{cell.steady.complete:.1%}",
                f"{cell.fast.complete:.1%}",
                f"{cell.steady.set_p95_ms:.0f}",
                f"{cell.fast.set_p95_ms:.0f}",
                f"{cell.steady.parallelism:.2f}",
                f"{cell.fast.parallelism:.2f}",
                cell.winner,
            )
        )
    return rows
