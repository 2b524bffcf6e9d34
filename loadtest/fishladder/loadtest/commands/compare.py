"""`fishladder loadtest compare A B`: what changed between two reports, and whether more than chance did."""

from pathlib import Path

import click

from fishladder.loadtest.console import table
from fishladder.loadtest.report.summary import LinkAnswer, Point, Summary, read_summary
from fishladder.wire.errors import ConfigError

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("before", type=_PATH, metavar="A")
@click.argument("after", type=_PATH, metavar="B")
def compare(before: Path, after: Path) -> None:
    """Compare two reports of `saturate` (their directories, or summary.json): N*, causes, and the curves between.

    A curve has changed at an N if the one-sided 95 % bounds of the two do not overlap there. What the reports were made
    with is compared as well, since a changed flag explains a changed answer.
    """
    one, two = read_summary(before), read_summary(after)
    for summary, path in ((one, before), (two, after)):
        if summary.kind != "saturate":
            raise ConfigError(f"{path} is a report of `{summary.kind}`: only those of `saturate` can be compared")
    click.echo(table(_rows(one, two)))
    for line in (*_curves(one, two), *_settings(one, two)):
        click.echo(line)


def _rows(one: Summary, two: Summary) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("link", "N* in A", "N* in B", "change", "cause in A", "cause in B", "fluid A/B")]
    a, b = _by_link(one), _by_link(two)
    for name in dict.fromkeys([*a, *b]):
        if name not in a or name not in b:
            only, where = (a[name], "A") if name in a else (b[name], "B")
            found = [str(only.passing) if where == side else "-" for side in "AB"]
            rows.append((name, *found, f"only in {where}", "", "", ""))
            continue
        x, y = a[name], b[name]
        change = y.passing - x.passing
        rows.append(
            (
                name,
                _interval(x),
                _interval(y),
                f"{change:+d}" if change else "same",
                x.cause,
                y.cause,
                f"{x.fluid}/{y.fluid}",
            )
        )
    return rows


def _interval(answer: LinkAnswer) -> str:
    return f"{answer.passing} (fails at {answer.failing or f'> {answer.limit}'})"


def _by_link(summary: Summary) -> dict[str, LinkAnswer]:
    return {answer.link: answer for answer in summary.answers}


def _curves(one: Summary, two: Summary) -> list[str]:
    said = []
    a, b = _by_link(one), _by_link(two)
    for name in a.keys() & b.keys():
        before = {point.cameras: point for point in a[name].curve}
        after = {point.cameras: point for point in b[name].curve}
        changed = [
            f"N={n} {before[n].mean:.1%} -> {after[n].mean:.1%}"
            for n in sorted(before.keys() & after.keys())
            if not _overlap(before[n], after[n])
        ]
        said.append(f"{name}: {', '.join(changed) if changed else 'no N whose bounds do not overlap'}")
    return said


def _overlap(x: Point, y: Point) -> bool:
    if None in (x.lower, x.upper, y.lower, y.upper):
        return True
    assert x.lower is not None
    assert x.upper is not None
    assert y.lower is not None
    assert y.upper is not None
    return x.lower <= y.upper and y.lower <= x.upper


def _settings(one: Summary, two: Summary) -> list[str]:
    said = [
        f"{name}: {one.settings.get(name, 'not given')} in A, {two.settings.get(name, 'not given')} in B"
        for name in sorted(one.settings.keys() | two.settings.keys())
        if one.settings.get(name) != two.settings.get(name) and name != "out"
    ]
    for what, x, y in (
        ("version", one.version, two.version),
        ("kernel", one.host.kernel, two.host.kernel),
        ("cpu", one.host.cpu, two.host.cpu),
        ("seed", str(one.seed), str(two.seed)),
    ):
        if x != y and what not in one.settings:
            said.append(f"{what}: {x} in A, {y} in B")
    return said
