"""Writes the report of `accuracy`: one figure with a panel each for bit rate, frame rate and width; and the table alone
for agents.
"""

from pathlib import Path
from typing import Any

import msgspec
from matplotlib.ticker import PercentFormatter

from fishladder.loadtest.accuracy.table import Table
from fishladder.loadtest.report.html import page
from fishladder.loadtest.report.plots import Plot
from fishladder.loadtest.report.style import COLOURS, GREY, MARKERS, axes, figure, png
from fishladder.loadtest.report.summary import new_summary, write_summary
from fishladder.wire.accuracy import Rung

_GOOD = 0.9


def write_report(folder: Path, command: str, found: Table, settings: dict[str, Any]) -> None:
    settings = {**settings, "model": f"{found.model} (sha256 {found.sha256[:12]}) on {found.provider}"}
    summary = new_summary("accuracy", command, 0, settings, findings=msgspec.to_builtins(found))
    write_summary(summary, folder / "summary.json")
    (folder / "profile.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    made = [_by_rate(found), _by_fps(found), _by_width(found)]
    for plot in made:
        (folder / f"{plot.name}.png").write_bytes(png(plot.figure))
    from fishladder.loadtest.commands.accuracy import rows

    text = page(
        summary,
        title="What bit rate, frame rate and resolution cost in detections",
        answers=[plot.says for plot in made],
        plots=made,
        tables=[("Measured", rows(found))],
    )
    (folder / "report.html").write_text(text)


def _rungs(found: Table, clip: str, varied: str) -> list[Rung]:
    return [rung for rung in found.rungs if rung.clip == clip and rung.varied == varied]


def _by_rate(found: Table) -> Plot:
    fig = figure()
    ax = axes(
        fig,
        title="Detections kept, by bit rate",
        x="bits per pixel (and, of 720p at 15 fps, Mbit/s)",
        y="F1 against the source pictures",
    )
    said = []
    for index, clip in enumerate(found.clips):
        rungs = sorted(_rungs(found, clip, "rate"), key=lambda rung: rung.bits_per_pixel)
        bits = [rung.bits_per_pixel for rung in rungs]
        ax.plot(bits, [rung.f1 for rung in rungs], color=COLOURS[index], marker=MARKERS[index], label=clip)
        good = next((rung for rung in rungs if rung.f1 >= _GOOD), None)
        said.append(
            f"{clip} keeps an F1 of {_GOOD} from {good.bits_per_pixel:.2f} bits per pixel on"
            if good
            else f"{clip} keeps no F1 of {_GOOD} at any rate tried"
        )
    ax.axhline(_GOOD, color=GREY, linestyle="--", linewidth=1.2)
    ax.set_xscale("log")
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.4]
    ax.set_xticks(ticks, [f"{tick:g}\n{tick * 1280 * 720 * 15 / 1e6:.2g}" for tick in ticks])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_ylim(0, 1.03)
    ax.legend(loc="lower right")
    return Plot("accuracy-rate", fig, "; ".join(said) + ". Below that, saving bits costs people in the picture.")


def _by_fps(found: Table) -> Plot:
    fig = figure()
    ax = axes(
        fig, title="Detections kept, by frame rate", x="frames analysed a second", y="F1 against the source pictures"
    )
    said = []
    for index, clip in enumerate(found.clips):
        full = _rungs(found, clip, "rate")
        whole = max(full, key=lambda rung: rung.bits_per_pixel)
        rungs = sorted([*_rungs(found, clip, "fps"), whole], key=lambda rung: rung.fps)
        ax.plot(
            [rung.fps for rung in rungs],
            [rung.f1 for rung in rungs],
            color=COLOURS[index],
            marker=MARKERS[index],
            label=clip,
        )
        said.append(
            f"{clip} at {rungs[0].fps:g} fps keeps {rungs[0].f1:.0%}, at {rungs[-1].fps:g} fps {rungs[-1].f1:.0%}"
        )
    ax.set_xscale("log")
    ticks = [0.5, 1, 2, 5, 10, 25]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_ylim(0, 1.03)
    ax.legend(loc="lower right")
    return Plot(
        "accuracy-fps", fig, "; ".join(said) + ". Between pictures the last detections stand, and people walk on."
    )


def _by_width(found: Table) -> Plot:
    fig = figure()
    ax = axes(fig, title="Detections kept, by picture width", x="width (pixels)", y="F1 against the source pictures")
    said = []
    for index, clip in enumerate(found.clips):
        whole = max(_rungs(found, clip, "rate"), key=lambda rung: rung.bits_per_pixel)
        rungs = sorted([*_rungs(found, clip, "width"), whole], key=lambda rung: rung.width)
        ax.plot(
            [rung.width for rung in rungs],
            [rung.f1 for rung in rungs],
            color=COLOURS[index],
            marker=MARKERS[index],
            label=clip,
        )
        said.append(
            f"{clip} at a width of {rungs[0].width} keeps {rungs[0].f1:.0%}, at {rungs[-1].width} {rungs[-1].f1:.0%}"
        )
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_ylim(0, 1.03)
    ax.set_xlim(left=0)
    ax.legend(loc="lower right")
    return Plot(
        "accuracy-width", fig, "; ".join(said) + ". The default model looks at 300 x 300 pixels of whatever comes."
    )
