"""F1 by rate as one picture: of the link, for each megabit, and by the bits that were sent, which is where variants can
be compared that do not send the same. How to read it, `cases` says.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from fishladder.loadtest.report.style import COLOURS, MARKERS, axes, figure
from thin.cases import CASES, FIXED, OURS, STOCK

Row = Mapping[str, Any]
_NAMES = {OURS: "fishladder", FIXED: "fixed rate, 85 % of the link", STOCK: "stock aiortc"}
_TICKS = (100, 250, 500, 1000)


def curves(table: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each variant that say what a detector found, by the rate of their link."""
    found: dict[str, list[Row]] = {}
    for row in sorted(table, key=lambda row: CASES[row["case"]].rate):
        if CASES[row["case"]].detect and row.get("sent_kbps"):
            found.setdefault(row["variant"], []).append(row)
    return found


def f1_at(curve: Sequence[Row], kbps: float) -> float:
    """What a variant finds with so many bits, between its points by the logarithm of the rate. Beyond them it finds
    what it does at the nearest: more is not known."""
    points = sorted((row["sent_kbps"], row["f1"]) for row in curve)
    return float(np.interp(np.log(kbps), np.log([rate for rate, _ in points]), [f1 for _, f1 in points]))


def plot(table: Sequence[Row], path: Path) -> None:
    """A PNG, SVG or PDF, as the file is named. Raises `ValueError` if nothing of it was measured."""
    found = curves(table)
    if not found:
        raise ValueError("no case with a detector was measured")
    whole = figure(15.0, 5.2)
    for panel, (title, x, y, of) in zip(
        whole.subfigures(1, 3),
        (
            ("Detections kept", "rate of the link (kbit/s)", "F1 against the source", lambda row: _rate_kbps(row)),
            ("... for each megabit", "rate of the link (kbit/s)", "F1 per Mbit/s sent", lambda row: _rate_kbps(row)),
            ("... with the same bits", "video sent (kbit/s)", "F1 against the source", lambda row: row["sent_kbps"]),
        ),
        strict=True,
    ):
        ax = axes(panel, title=title, x=x, y=y)
        per_mbit = "per" in y
        for index, variant in enumerate(_NAMES):
            if rows := found.get(variant):
                points = sorted((of(row), row["f1_per_mbit" if per_mbit else "f1"]) for row in rows)
                style = {"color": COLOURS[index], "marker": MARKERS[index], "label": _NAMES[variant]}
                ax.plot(*zip(*points, strict=True), **style)
        ax.set_xscale("log")
        if per_mbit:
            ax.set_yscale("log")
        else:
            ax.set_ylim(0, 1.03)
        ax.set_xticks(_TICKS, [f"{tick}" for tick in _TICKS])
        ax.minorticks_off()
        ax.legend(loc="upper right" if per_mbit else "lower right")
    with mpl.rc_context({"svg.hashsalt": "fishladder", "svg.fonttype": "path"}):
        whole.savefig(path, dpi=110)


def _rate_kbps(row: Row) -> float:
    return CASES[row["case"]].rate * 1000
