"""Says how far a load test is: a live line in a terminal, a plain line now and then elsewhere. On standard error, so
that the result can be piped.
"""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from fishladder.loadtest.model.run import Run

_PLAIN_S = 5.0


class Progress:
    """Use as a context manager. `on_run` fits what a sweep tells; `say` is for everything else."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr, highlight=False)
        self._live: Live | None = None
        self._began_s = time.monotonic()
        self._said_s = self._began_s
        self._step: tuple[str, int] = ("", 0)
        self._step_began_s = self._began_s
        self._step_done = 0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(line, markup=False, soft_wrap=True)

    def step(self, what: str, done: float, total: float, note: str = "") -> None:
        """How far some long work is, in any unit."""
        now_s = time.monotonic()
        if self._step[0] != what:
            self._step, self._step_began_s = (what, 0), now_s
        done = min(max(done, 0.0), total) if total else done
        cells = [("", what), ("done", f"{done / total:.0%}" if total else f"{done:g}"), ("", note)]
        self._show(now_s, [*cells, ("ETA", self._eta_s(now_s, done, total))])

    def on_run(self, what: str, run: Run, done: int, seeds: int) -> None:
        now_s = time.monotonic()
        if self._step != (what, run.cameras):
            self._step, self._step_began_s, self._step_done = (what, run.cameras), now_s, done - 1
        offered = run.offered_bps / 1e6
        cells = [
            ("scenario", what),
            ("N", str(run.cameras)),
            ("seed", f"{done}/{seeds}"),
            ("Mbit/s offered", f"{offered:.1f}"),
            ("arrived", f"{run.arrived_share:.1%}"),
            ("decodable", f"{run.decodable:.1%}"),
            ("p95 age", f"{run.age_p95_ms:.0f} ms"),
            ("queue", f"{run.queue_p95_ms:.0f} ms"),
            ("late", f"{run.lateness_p95_ms:.0f} ms"),
            ("ETA of this N", self._eta_s(now_s, done - self._step_done, seeds - self._step_done)),
        ]
        self._show(now_s, cells)

    def _eta_s(self, now_s: float, done: float, total: float) -> str:
        if done <= 0 or not total:
            return ""
        return f"{(now_s - self._step_began_s) * (total - done) / done:.0f} s"

    def _show(self, now_s: float, cells: list[tuple[str, str]]) -> None:
        cells = [*cells, ("elapsed", f"{now_s - self._began_s:.0f} s")]
        if self._live is not None:
            table = Table(box=None, pad_edge=False)
            for name, _ in cells:
                table.add_column(name, style="bold" if name == "decodable" else "")
            table.add_row(*(value for _, value in cells))
            self._live.update(table)
        elif now_s - self._said_s >= _PLAIN_S:
            self._said_s = now_s
            self._console.print(
                ", ".join(f"{name} {value}".strip() for name, value in cells if value), markup=False, soft_wrap=True
            )
