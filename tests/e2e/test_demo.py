"""`fishladder demo` as a newcomer runs it: people are detected in real footage and the ledger closes."""

import re
from pathlib import Path

import pytest
from support.fleet import Fleet


@pytest.mark.timeout(600)  # a cold machine fetches the model and the footage first
async def test_the_demo_detects_people_and_closes(tmp_path: Path) -> None:
    status, out, err = await Fleet(tmp_path).run("demo", "--seconds", "8", within_s=550)
    assert status == 0, err
    people = re.search(r"demo/square: (\d+) detections in (\d+) frames", out)
    assert people
    assert int(people[1]) > int(people[2]) > 10, "the square has more than one person in view"
    equation = re.findall(
        r"captured (\d+) = inferred (\d+) \+ skipped (\d+) \+ dropped (\d+) \+ pending (\d+)", out.split("\n\n")[-1]
    )
    assert len(equation) == 2
    for captured, *parts in equation:
        assert int(captured) == sum(map(int, parts))
        assert parts[-1] == "0"
    assert "every captured frame is accounted for" in out
