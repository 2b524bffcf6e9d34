"""The fuzzing targets with what once crashed them, with their seeds, and with what hypothesis makes of those."""

from pathlib import Path

import pytest
from fuzz.seeds import seeds
from fuzz.targets import TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CRASHERS = Path(__file__).parent / "crashers"


@st.composite
def mutated(draw: st.DrawFn, start: list[bytes]) -> bytes:
    """A seed with some bytes changed, cut out or put in."""
    data = bytearray(draw(st.sampled_from(start)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 8))
        data[at : at + cut] = draw(st.binary(max_size=8))
    return bytes(data)


@pytest.mark.parametrize("path", sorted(CRASHERS.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name[:14]}")
def test_what_once_crashed_does_not(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_does_what_it_must_not(name: str) -> None:
    start = seeds()[name]
    for seed in start:
        TARGETS[name](seed)

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.binary(max_size=300), mutated(start)))
    def check(data: bytes) -> None:
        TARGETS[name](data)

    check()
