"""`report.html`: one file that needs no other and no network, made to be read by whoever decides, top to bottom."""

from collections.abc import Iterable, Sequence
from html import escape

from fishladder.loadtest.report.plots import Plot
from fishladder.loadtest.report.style import inline
from fishladder.loadtest.report.summary import Summary

_CSS = """
body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem;margin-bottom:.2rem}h2{font-size:1.25rem;margin-top:2.5rem}
.answer{font-size:1.15rem;background:#eef5fb;border-left:5px solid #0072B2;padding:.8rem 1rem;margin:1rem 0}
.warning{background:#fdf1e7;border-left:5px solid #D55E00;padding:.8rem 1rem;margin:1rem 0}
figure{margin:2rem 0}figure img{width:100%;height:auto}figcaption{color:#333;margin-top:.3rem}
table{border-collapse:collapse;width:100%;margin:1rem 0;font-size:.92rem}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
td:first-child{white-space:nowrap}
.small{color:#555;font-size:.88rem}code{background:#f3f3f3;padding:.1rem .3rem}
@media print{figure,table{break-inside:avoid}}
"""


def page(
    summary: Summary,
    *,
    title: str,
    answers: Sequence[str],
    plots: Iterable[Plot],
    tables: Iterable[tuple[str, Sequence[Sequence[str]]]] = (),
    warnings: Sequence[str] = (),
) -> str:
    """`answers` are the sentences to remember; a table's first row is its heading."""
    body = [f"<h1>{escape(title)}</h1>"]
    body.append(f'<p class="small">fishladder {escape(summary.version)}, {escape(summary.created)}</p>')
    body += [f'<p class="answer">{escape(answer)}</p>' for answer in answers]
    body += [f'<p class="warning">{escape(warning)}</p>' for warning in warnings]
    for plot in plots:
        body.append(
            f'<figure id="{escape(plot.name)}"><img alt="{escape(plot.says)}" src="{inline(plot.figure)}">'
            f"<figcaption>{escape(plot.says)}</figcaption></figure>"
        )
    for heading, rows in tables:
        body.append(f"<h2>{escape(heading)}</h2>{_table(rows)}")
    body.append(_how(summary))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_CSS}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows[1:])
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(row: Sequence[str]) -> str:
    """What stands alone beside a name has the whole row."""
    if len(row) > 2 and not any(row[2:]):
        return f'<td>{escape(row[0])}</td><td colspan="{len(row) - 1}" class="small">{escape(row[1])}</td>'
    return "".join(f"<td>{escape(cell)}</td>" for cell in row)


def _how(summary: Summary) -> str:
    """All that is needed to judge and to repeat it."""
    host = summary.host
    rows = [
        ("", ""),
        ("command", summary.command),
        ("first seed", str(summary.seed)),
        *((name.replace("_", " "), str(value)) for name, value in summary.settings.items()),
        ("machine", f"{host.cpu}, {host.cores} cores for us, {host.kernel}"),
        ("software", f"fishladder {summary.version}, Python {host.python}, numpy {host.numpy}"),
        ("the system's congestion control", host.congestion_control or "unknown"),
    ]
    return f"<h2>How this was found</h2>{_table(rows)}"
