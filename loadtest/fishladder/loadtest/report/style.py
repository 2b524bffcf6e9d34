"""How our figures look: sized for a slide, legible from the back of a room, safe for colour-blind readers."""

import base64
import io
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib.figure import Figure

#: Okabe and Ito's colours, those that stand on white; with them go markers, so that colour is never alone.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#6b6b6b"
_STYLE: Any = {
    "font.size": 12,
    "axes.labelsize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e2e2e2",
    "legend.frameon": False,
    "lines.linewidth": 2.2,
    "svg.fonttype": "path",
    "svg.hashsalt": "fishladder",
}


def figure(width: float = 9.6, height: float = 5.0) -> Figure:
    with mpl.rc_context(_STYLE):
        return Figure(figsize=(width, height), layout="constrained")


def axes(of: Figure, *, title: str, x: str, y: str) -> Any:
    with mpl.rc_context(_STYLE):
        made = of.subplots()
    made.set_title(title, pad=12, loc="left", fontweight="bold", fontsize=14)
    made.set_xlabel(x)
    made.set_ylabel(y)
    return made


def png(of: Figure, dpi: int = 110) -> bytes:
    out = io.BytesIO()
    with mpl.rc_context(_STYLE):
        of.savefig(out, format="png", dpi=dpi)
    return out.getvalue()


def inline(of: Figure) -> str:
    """The figure as an image that needs no file, sharp at any size."""
    out = io.BytesIO()
    with mpl.rc_context(_STYLE):
        of.savefig(out, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()
