"""`samples.csv`: every run, a line each, for those who make their own plots."""

import csv
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from fishladder.loadtest.model.run import Run


def write_samples(runs: Iterable[tuple[str, Run]], path: Path) -> None:
    """`runs` with the name of the link each was over."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        names = [field.name for field in fields(Run)]
        writer.writerow(["link", *names])
        for link, run in runs:
            writer.writerow([link, *(getattr(run, name) for name in names)])
