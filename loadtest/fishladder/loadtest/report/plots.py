"""The figures of `saturate`, each with the sentence that says what it means. A figure shows one finding."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fishladder.loadtest.report.style import COLOURS, GREY, MARKERS, axes, figure
from fishladder.loadtest.report.summary import LinkAnswer


class Plot(NamedTuple):
    """`name` is that of its file, `says` the sentence beneath it."""

    name: str
    figure: Figure
    says: str


def knees(answers: Sequence[LinkAnswer], target: float) -> Plot:
    """Decodable % against N."""
    fig = figure()
    ax = axes(
        fig,
        title="How many cameras fit",
        x="cameras on the link",
        y="frames decodable in time, worst camera",
    )
    ax.axhline(target, color=GREY, linewidth=1.2, linestyle="--", label=f"target {target * 100:g}%")
    for index, answer in enumerate(answers):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        n = [point.cameras for point in answer.curve]
        mean = [point.mean for point in answer.curve]
        low = [point.mean if point.lower is None else max(point.lower, 0) for point in answer.curve]
        high = [point.mean if point.upper is None else min(point.upper, 1) for point in answer.curve]
        ax.fill_between(n, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.plot(n, mean, color=colour, marker=marker, markersize=5, label=f"{answer.link}: {fits(answer)}")
        if answer.emulated:
            ax.scatter(
                [it.cameras for it in answer.emulated],
                [it.decodable if it.of_use else 0.0 for it in answer.emulated],
                s=130,
                facecolors="none",
                edgecolors=colour,
                linewidths=2,
                zorder=5,
            )
    if any(answer.emulated for answer in answers):
        ax.scatter([], [], s=130, facecolors="none", edgecolors=GREY, linewidths=2, label="real agents, emulated link")
    ax.set_ylim(-0.03, 1.05)
    ax.set_xlim(left=0)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    fig.legend(loc="outside lower center", ncols=3, frameon=False)
    return Plot("knees", fig, _knees_say(answers, target))


def fits(answer: LinkAnswer) -> str:
    return f"{answer.passing} camera{'' if answer.passing == 1 else 's'}"


def _knees_say(answers: Sequence[LinkAnswer], target: float) -> str:
    said = [
        f"{answer.link} carries {fits(answer)} with {target:.0%} of the frames of the worst of them in time"
        + (f" and surely fails at {answer.failing}" if answer.failing else f"; no limit was found up to {answer.limit}")
        + f" ({answer.cause})"
        for answer in answers
    ]
    bands = any(point.lower is not None for answer in answers for point in answer.curve)
    says = "; ".join(said) + (". Bands are one-sided 95% bounds over seeds." if bands else ".")
    if any(answer.failing for answer in answers):
        says += " A link does not degrade gently: a camera past the knee makes all of them late."
    return says


def capacities(answers: Sequence[LinkAnswer]) -> Plot:
    """N* as bars, with the fluid bound."""
    fig = figure(height=1.7 + 0.62 * len(answers))
    ax = axes(fig, title="Cameras that fit, by link", x="cameras", y="")
    rows = np.arange(len(answers))
    most = max(max(answer.fluid, answer.passing) for answer in answers) or 1
    for row, answer in enumerate(answers):
        ax.barh(row, answer.passing, color=COLOURS[row % len(COLOURS)], height=0.58)
        if answer.failing is not None and answer.failing > answer.passing + 1:
            ax.barh(
                row,
                answer.failing - 1 - answer.passing,
                left=answer.passing,
                color=COLOURS[row % len(COLOURS)],
                alpha=0.3,
                height=0.58,
            )
        ax.plot([answer.fluid] * 2, [row - 0.38, row + 0.38], color="black", linewidth=2)
        end = max(answer.passing, answer.fluid, (answer.failing or 1) - 1)
        ax.text(end + most * 0.015, row, f"{answer.passing}  ({answer.cause})", va="center")
    ax.plot([], [], color="black", linewidth=2, label="fluid bound: mean rates only")
    ax.set_yticks(rows, [_label(answer) for answer in answers])
    ax.set_ylim(len(answers) - 0.4, -0.6)
    ax.set_xlim(0, most * 1.3)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(visible=False, axis="y")
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=10)
    best = max(answers, key=lambda answer: answer.passing)
    worst = min(answers, key=lambda answer: answer.passing)
    says = f"Of {len(answers)} links {best.link} carries most: {fits(best)}, {worst.link} least: {fits(worst)}."
    if worst.passing:
        says += f" That is {best.passing / worst.passing:.1f} times as many."
    if any(answer.failing is not None and answer.failing > answer.passing + 1 for answer in answers):
        says += " What is pale is undecided."
    return Plot("capacities", fig, says + " The black line is what mean rates allow, which no link exceeds.")


def _label(answer: LinkAnswer) -> str:
    return f"{answer.link}\n{_mbps(answer.down_bps)} down, {_mbps(answer.up_bps)} up"


def _mbps(bps: float) -> str:
    return f"{bps / 1e6:.3g}"


def shares(answers: Sequence[LinkAnswer]) -> Plot:
    """N* against the upstream share of equal total capacity."""
    ordered = sorted(answers, key=lambda answer: answer.up_share or 0)
    total = (ordered[0].up_bps + ordered[0].down_bps) / 1e6
    fig = figure()
    ax = axes(
        fig,
        title=f"The same {total:.3g} Mbit/s, split differently",
        x="share of the capacity that is upstream",
        y="cameras that fit",
    )
    share = [answer.up_share or 0 for answer in ordered]
    passing = [answer.passing for answer in ordered]
    above = [(answer.failing or answer.limit + 1) - 1 - answer.passing for answer in ordered]
    fluid = [answer.fluid for answer in ordered]
    ax.plot(share, fluid, color="black", linestyle=":", zorder=5, label="fluid bound: mean rates only")
    ax.errorbar(
        share,
        passing,
        yerr=[[0] * len(passing), above],
        color=COLOURS[0],
        marker="o",
        markersize=9,
        capsize=5,
        label="N*, with what is undecided above it",
    )
    top = max([*passing, *fluid, 1])
    for answer, x in zip(ordered, share, strict=True):
        low = answer.passing < 0.07 * top  # beneath it is the axis
        ax.annotate(
            f"{answer.passing} ({_mbps(answer.down_bps)}/{_mbps(answer.up_bps)})",
            (x, answer.passing),
            xytext=(10, 4 if low else -5),
            textcoords="offset points",
            va="bottom" if low else "top",
            fontsize=11,
        )
    ax.set_xlim(0, max(share) * 1.25)
    ax.set_ylim(0, top * 1.15)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(loc="upper left")
    least, most = ordered[0], ordered[-1]
    factor = f", {most.passing / least.passing:.1f} times as many" if least.passing else ""
    says = (
        f"With {total:.3g} Mbit/s in all, an upstream share of {least.up_share:.0%} carries {fits(least)} and one of "
        f"{most.up_share:.0%} carries {fits(most)}{factor}: for cameras it is the split that counts, not the sum. "
        "Numbers at the points are N* and, in brackets, Mbit/s down/up."
    )
    return Plot("shares", fig, says)


def delays(answers: Sequence[LinkAnswer], deadline_ms: float) -> Plot:
    """CDFs of a frame's age at N* and at the first failing N."""
    fig = figure()
    ax = axes(fig, title="How old frames are when they arrive", x="age of a frame (ms)", y="share of frames")
    ax.axvline(deadline_ms, color=GREY, linewidth=1.2, linestyle="--", label=f"deadline {deadline_ms:g} ms")
    level = np.arange(101) / 100
    for index, answer in enumerate(answers):
        colour = COLOURS[index % len(COLOURS)]
        for ages in answer.ages:
            good = ages.cameras <= answer.passing
            found = np.array([np.nan if it is None else it for it in ages.quantiles_ms])
            ax.plot(
                np.maximum(found, 0.5),
                level,
                color=colour,
                linestyle="-" if good else (0, (4, 2)),
                label=f"{answer.link}, {ages.cameras} camera{'' if ages.cameras == 1 else 's'}"
                + ("" if good else " (too many)"),
            )
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_ylim(0, 1.02)
    ax.legend(loc="upper left", fontsize=10)
    return Plot("delays", fig, _delays_say(answers, deadline_ms))


def _delays_say(answers: Sequence[LinkAnswer], deadline_ms: float) -> str:
    said = []
    for answer in answers:
        for ages in answer.ages:
            middle, late = ages.quantiles_ms[50], ages.quantiles_ms[95]
            said.append(f"{answer.link} with {ages.cameras}: half within {_ms(middle)}, 95% within {_ms(late)}")
    return "; ".join(said) + f". Left of the {deadline_ms:g} ms line is in time."


def _ms(value: float | None) -> str:
    if value is None:
        return "never"
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms"


def time_series(answer: LinkAnswer, deadline_ms: float) -> Plot:
    """Ages second by second at N* and past it."""
    fig = figure()
    ax = axes(
        fig,
        title=f"{answer.link}: what happens past the knee",
        x="time (s)",
        y="age of frames, 95th percentile (ms)",
    )
    ax.axhline(deadline_ms, color=GREY, linewidth=1.2, linestyle="--", label=f"deadline {deadline_ms:g} ms")
    for index, ages in enumerate(answer.ages):
        found = np.array([np.nan if it is None else it for it in ages.age_p95_ms])
        ax.plot(
            ages.second,
            np.maximum(found, 1),
            color=COLOURS[index % len(COLOURS)],
            linestyle="-" if index == 0 else (0, (4, 2)),
            label=f"{ages.cameras} cameras" if ages.cameras != 1 else "1 camera",
        )
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_xlim(left=0)
    ax.legend(loc="upper left", ncols=3, bbox_to_anchor=(0, 1.0))
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * 3)
    return Plot(f"time-{answer.link}", fig, f"{answer.link}: {answer.cause_text}")


def tornado(answer: LinkAnswer) -> Plot | None:
    """N* over each assumption; None if there is none."""
    bars = answer.tornado
    if not bars:
        return None
    fig = figure(height=1.9 + 0.42 * len(bars))
    ax: Any = axes(fig, title=f"{answer.link}: what {fits(answer)} rest on", x="cameras that fit", y="")
    values = [answer.passing, *(it for bar in bars for it in (bar.low_passing, bar.high_passing))]
    span = max(max(values) - min(values), 2)
    for row, bar in enumerate(bars):
        ends = ((bar.low_passing, bar.low, COLOURS[0]), (bar.high_passing, bar.high, COLOURS[1]))
        for (value, label, colour), (other, _, _), usual in ((*ends, "right"), (*ends[::-1], "left")):
            ax.barh(row, value - answer.passing, left=answer.passing, color=colour, height=0.6)
            at, side = _label_place(value, other, answer.passing, usual)
            ax.text(at + (-0.02 if side == "right" else 0.02) * span, row, label, va="center", ha=side, fontsize=10)
    ax.axvline(answer.passing, color="black", linewidth=1.2)
    ax.set_yticks(range(len(bars)), [bar.name for bar in bars])
    ax.set_ylim(len(bars) - 0.4, -0.6)
    ax.set_xlim(min(values) - span * 0.3, max(values) + span * 0.3)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(visible=False, axis="y")
    return Plot(f"tornado-{answer.link}", fig, _tornado_says(answer))


def _tornado_says(answer: LinkAnswer) -> str:
    first = answer.tornado[0]
    ends = sorted((first.low_passing, first.high_passing, answer.passing))
    if ends[0] == ends[-1]:
        return f"{answer.link}: no assumption by itself changes the answer of {fits(answer)}."
    longest = [
        bar.name
        for bar in answer.tornado
        if sorted((bar.low_passing, bar.high_passing, answer.passing))[::2] == ends[::2]
    ]
    if len(longest) == 1:
        says = (
            f"{answer.link}: of all assumptions {first.name} weighs most: between {first.low} and {first.high}, "
            f"N* goes from {first.low_passing} to {first.high_passing}."
        )
    else:
        says = (
            f"{answer.link}: of all assumptions {', '.join(longest[:-1])} and {longest[-1]} weigh most: each by itself "
            f"moves N* between {ends[0]} and {ends[-1]}."
        )
    return says + " Blue: at the lower value; orange: at the higher. Measure what is long here before signing."


def _label_place(value: int, other: int, centre: int, usual: str) -> tuple[int, str]:
    """Where a bar's label is anchored, and by which of its sides: beyond its end, and never on another bar."""
    if value == centre:
        return centre, "left" if other < centre else "right" if other > centre else usual
    same_side = (value - centre) * (other - centre) > 0
    if same_side and abs(value - centre) <= abs(other - centre) and (value != other or usual == "right"):
        return centre, "left" if value < centre else "right"
    return value, "right" if value < centre else "left"
