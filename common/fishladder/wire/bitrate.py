"""Bit rates as people write them."""

import re

_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([kmg])?\s*(?:bit|bps|b)?(?:/s)?", re.IGNORECASE)


def parse_bitrate(text: str) -> float | None:
    """`4 Mbit/s`, `800k` or `2.5m` in bits a second; None if it is none."""
    found = _RATE.fullmatch(text.strip())
    return float(found[1]) * _UNITS[(found[2] or "").lower()] if found is not None else None
