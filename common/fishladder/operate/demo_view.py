"""How the demo shows itself: a live table on a terminal, plain lines elsewhere, and a camera's account in one line."""

import time
from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fishladder.runtime.ledger import Ledger
from fishladder.view.recent import HOPS, Recent

#: Columns of a terminal that hold the table with its hops.
_WIDE = 106


def live_table(
    views: Mapping[str, Recent], ledgers: Sequence[Ledger], kbps: Mapping[str, float], title: str, width: int
) -> Group:
    """One row a camera, and below it each camera's account. A terminal too narrow for the hops gets none."""
    shown_hops = HOPS if width >= _WIDE else ()
    table = Table(title=f"fishladder demo, {title}", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for name in ("camera", "fps", "kbit/s", *shown_hops, "age ms", "sees now", "detections"):
        table.add_column(name, justify="left" if name in ("camera", "sees now") else "right", no_wrap=True)
    now_ms = time.time_ns() // 1_000_000
    for ledger in ledgers:
        view = views[ledger.camera]
        hops = view.hops_ms()
        table.add_row(
            ledger.camera,
            f"{view.fps(now_ms):.1f}",
            f"{kbps.get(ledger.camera, 0):.0f}",
            *([f"{ms:.0f}" for ms in hops] if hops else ["-"] * len(HOPS))[: len(shown_hops)],
            f"{sum(hops):.0f}" if hops else "-",
            (_plain(view.now_seen()) or "nothing") if view.frames else "starting",
            str(view.detections),
        )
    hint = Text("in ms, medians of 10 s: the hops on the way, and the age from capture to committed", style="dim")
    return Group(table, hint, *(Text(f"{ledger.camera}: {account(ledger)}") for ledger in ledgers))


def plain_line(view: Recent, ledger: Ledger, elapsed_s: float) -> str:
    """The same in one line, for a log or a pipe."""
    hops = view.hops_ms()
    age = f", {sum(hops):.0f} ms from capture to commit" if hops else ""
    sees = _plain(view.now_seen()) or "nothing"
    fps = view.fps(time.time_ns() // 1_000_000)
    return f"{elapsed_s:5.0f} s  {ledger.camera}: {fps:.1f} fps{age}, sees {sees}; {account(ledger)}"


def account(ledger: Ledger) -> str:
    """The ledger's equation with its figures."""
    reasons = ", ".join(
        f"{fate.label} {count}" for fate, count in sorted(ledger.fates.items()) if fate.group != "inferred"
    )
    return (
        f"captured {ledger.captured} = inferred {ledger.group('inferred')} + skipped {ledger.group('skipped')}"
        f" + dropped {ledger.group('dropped')} + pending {ledger.pending}" + (f"  ({reasons})" if reasons else "")
    )


def _plain(labels: Mapping[str, int]) -> str:
    return ", ".join(f"{label} x{count}" for label, count in sorted(labels.items()))
