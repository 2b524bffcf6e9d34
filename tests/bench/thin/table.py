"""The tables of all cells there are: for each case and variant the seeds put together, and whether bounds are met; the
cases of RFC 8867 with columns of their own.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from thin.cases import CASES, FIXED, OURS, RFC_8867, Bound, Case, Figures
from thin.curve import curves, f1_at

_COLUMNS = (
    ("used", "used"),
    ("age_p50_ms", "p50"),
    ("age_p95_ms", "p95"),
    ("age_p99_ms", "p99"),
    ("freezes", "freezes"),
    ("decodable", "decodable"),
    ("decodable_of_captured", "of captured"),
    ("lost", "lost"),
    ("cpu", "CPU"),
)
_RFC_COLUMNS = (
    ("utilisation", "utilisation"),
    ("queue_p95_ms", "queue p95 ms"),
    ("lost", "loss"),
    ("fairness", "fairness"),
    ("tcp_fairness", "with TCP"),
    ("kbps", "media kbit/s"),
    ("tcp_kbps", "TCP kbit/s"),
    ("tcp_flow_kbps", "of each, while open"),
    ("tcp_share", "TCP's share"),
    ("age_p95_ms", "age p95 ms"),
)
_RFC_NAMES = {case.name for case in RFC_8867}


def rows(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One for each case and variant: figures are medians over seeds; a bound is met if every seed meets it."""
    found: list[dict[str, Any]] = []
    for name, case in CASES.items():
        here = [it for it in cells if it["case"] == name]
        fixed = {it["seed"]: it["figures"] for it in here if it["variant"] == FIXED and _clean(it)}
        variants = {variant: [it for it in here if it["variant"] == variant] for variant in case.variants}
        found += [_row(case, variant, mine, fixed) for variant, mine in variants.items() if mine]
    fixed_curve = curves(found).get(FIXED, [])
    for row in found:
        if row["variant"] != FIXED and row.get("sent_kbps") and fixed_curve:
            row["f1_of_fixed_with_these_bits"] = round(f1_at(fixed_curve, row["sent_kbps"]), 3)
    return found


def _clean(cell: Mapping[str, Any]) -> bool:
    return "figures" in cell and not cell["figures"]["limited"]


def _row(case: Case, variant: str, cells: Sequence[Mapping[str, Any]], fixed: Mapping[int, Figures]) -> dict[str, Any]:
    ran = [it["figures"] for it in cells if "figures" in it]
    clean = [it for it in cells if _clean(it)]
    row: dict[str, Any] = {"case": case.name, "variant": variant, "seeds": len(ran), "limited": len(ran) - len(clean)}
    if not ran:
        return row | {"note": cells[0].get("error", "not run")}
    told = [it["figures"] for it in clean] or ran
    for key in dict.fromkeys(key for it in told for key in it if key not in row):
        values = [it[key] for it in told if it.get(key) is not None]
        if values and all(isinstance(it, int | float) and not isinstance(it, bool) for it in values):
            row[key] = round(median(values), 3)
        elif values:
            row[key] = values[0]
    if variant == OURS:
        row["bounds"] = [_judged(bound, clean, fixed) for bound in case.bounds]
    return row


def _judged(bound: Bound, clean: Sequence[Mapping[str, Any]], fixed: Mapping[int, Figures]) -> dict[str, str]:
    said = [bound.met(it["figures"], fixed.get(it["seed"])) for it in clean]
    if not said:
        return {"bound": bound.words, "verdict": "not measured: the machine was the limit"}
    missed = sum(it is False for it in said)
    if missed:
        return {"bound": bound.words, "verdict": f"MISSED by {missed} of {len(said)} seeds"}
    return {"bound": bound.words, "verdict": "no figures" if any(it is None for it in said) else "met"}


def markdown(table: Sequence[Mapping[str, Any]]) -> str:
    """Both tables, as far as they have rows."""
    own = [row for row in table if row["case"] not in _RFC_NAMES]
    rfc = [row for row in table if row["case"] in _RFC_NAMES]
    return "\n".join(text for text in (_must_show(own), _rfc8867(rfc)) if text)


def _must_show(table: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for row in table:
        bounds = "; ".join(f"{it['bound']}: {it['verdict']}" for it in row.get("bounds", ()))
        lines.append([*_begins(row), *_cells(row, _COLUMNS), _besides(row), bounds or row.get("note", "")])
    heads = ["case", "variant", "seeds", *(head for _, head in _COLUMNS), "besides", "bounds"]
    return _lines(heads, lines)


def _rfc8867(table: Sequence[Mapping[str, Any]]) -> str:
    """What goes the other way in 5.3 is a row of its own."""
    lines = []
    for row in table:
        ways = [row] + ([_back(row)] if "back_used" in row else [])
        lines += [
            [*_begins(it), *_cells({"utilisation": it.get("used"), **it}, _RFC_COLUMNS), it.get("note", "")]
            for it in ways
        ]
    return _lines(["case", "variant", "seeds", *(head for _, head in _RFC_COLUMNS), ""], lines)


def _back(row: Mapping[str, Any]) -> dict[str, Any]:
    other = {key.removeprefix("back_"): value for key, value in row.items() if key.startswith("back_")}
    return {**other, "case": row["case"], "variant": f"{row['variant']}, the other way", "seeds": row["seeds"]}


def _begins(row: Mapping[str, Any]) -> list[str]:
    limited = f" ({row['limited']} limited by the machine)" if row.get("limited") else ""
    return [row["case"], row["variant"], f"{row['seeds']}{limited}"]


def _cells(row: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> list[str]:
    said = [row.get(key) for key, _ in columns]
    return ["" if it is None else ", ".join(map(str, it)) if isinstance(it, list) else str(it) for it in said]


def _lines(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    if not cells:
        return ""
    whole = [heads, ["---"] * len(heads), *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in whole)


_BESIDES = (
    "used_by_second", "used_after_s", "after_step_p99_ms", "share_error", "fairness", "share_before",
    "share_by_second", "f1", "sent_kbps", "f1_per_mbit", "f1_per_uplink_mbit", "f1_of_fixed_with_these_bits",
    "detections_min", "detections_min_source", "voice_p95_ms", "backfill_adds_ms", "backfill_kbps", "queue_p95_ms",
    "fps", "kbps", "keyframes_min",
)  # fmt: skip


def _besides(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {row[key]}" for key in _BESIDES if row.get(key) not in (None, [], {}))
