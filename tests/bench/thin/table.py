"""The table of all cells there are: for each case and variant the seeds put together, and whether bounds are met."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from thin.cases import CASES, OURS, Case

_COLUMNS = (
    ("used", "used"),
    ("age_p50_ms", "p50"),
    ("age_p95_ms", "p95"),
    ("age_p99_ms", "p99"),
    ("freezes", "freezes"),
    ("decodable", "decodable"),
    ("lost", "lost"),
    ("cpu", "CPU"),
)


def rows(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One for each case and variant: figures are medians over seeds; a bound is met if every seed meets it."""
    found = []
    for name, case in CASES.items():
        for variant in case.variants:
            mine = [it for it in cells if it["case"] == name and it["variant"] == variant]
            if mine:
                found.append(_row(case, variant, mine))
    return found


def _row(case: Case, variant: str, cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    ran = [it["figures"] for it in cells if "figures" in it]
    clean = [it for it in ran if not it["limited"]]
    row: dict[str, Any] = {"case": case.name, "variant": variant, "seeds": len(ran), "limited": len(ran) - len(clean)}
    if not ran:
        return row | {"note": cells[0].get("error", "not run")}
    for key in dict.fromkeys(key for it in clean or ran for key in it if key not in row):
        values = [it[key] for it in clean or ran if it.get(key) is not None]
        if values and all(isinstance(it, int | float) and not isinstance(it, bool) for it in values):
            row[key] = round(median(values), 3)
        elif values:
            row[key] = values[0]
    if variant == OURS:
        row["bounds"] = [_judged(words, test, case, clean) for words, test in case.bounds]
    return row


def _judged(words: str, test: Any, case: Case, clean: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    said = [test(it) for it in clean]
    if not said:
        return {"bound": words, "verdict": "not measured: the machine was the limit"}
    missed = sum(it is False for it in said)
    if any(it is None for it in said):
        return {"bound": words, "verdict": "no figures"}
    return {"bound": words, "verdict": "met" if not missed else f"MISSED by {missed} of {len(said)} seeds"}


def markdown(table: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| case | variant | seeds | " + " | ".join(head for _, head in _COLUMNS) + " | besides | bounds |"]
    lines.append("|" + "---|" * (len(_COLUMNS) + 5))
    for row in table:
        seeds = f"{row['seeds']}" + (f" ({row['limited']} limited by the machine)" if row.get("limited") else "")
        figures = [str(row.get(key, "")) for key, _ in _COLUMNS]
        bounds = "; ".join(f"{it['bound']}: {it['verdict']}" for it in row.get("bounds", ()))
        lines.append(
            "| "
            + " | ".join([row["case"], row["variant"], seeds, *figures, _besides(row), bounds or row.get("note", "")])
            + " |"
        )
    return "\n".join(lines) + "\n"


_BESIDES = (
    "used_by_second", "after_step_p99_ms", "share_error", "fairness", "share_before", "share_by_second", "f1",
    "f1_per_mbit", "detections_min", "detections_min_source", "voice_p95_ms", "backfill_adds_ms", "backfill_kbps",
    "queue_p95_ms", "fps", "kbps",
)  # fmt: skip


def _besides(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {row[key]}" for key in _BESIDES if row.get(key) not in (None, [], {}))
