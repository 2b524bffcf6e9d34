"""The load tester's commands that the documents show, each run with less of everything (fewer seeds, seconds, cameras):
what they answer is tests/loadtest's.
"""

import re
from pathlib import Path

import pytest
from support.doc_commands import ROOT, Shown
from support.fleet import Fleet, fleet
from support.links import needs_links_here
from support.models import strips_model
from support.shell import Shell

pytestmark = pytest.mark.timeout(240)

SHOWN = Shown(__file__)
TOML, LIST = SHOWN.take(r"fishladder loadtest links docsis30 --toml"), SHOWN.take(r"fishladder loadtest links$")
MODELLED = SHOWN.take(r"fishladder loadtest (saturate --(link|total)|fanin --fast)")
COMPARED = SHOWN.take("fishladder loadtest compare")
ACCURACY, CALIBRATE = SHOWN.take("fishladder loadtest accuracy"), SHOWN.take("fishladder loadtest calibrate")
TO_A_GATEWAY = SHOWN.take(r"fishladder loadtest (\w+ --gateway|measure$)")

MODEL_ONLY = "--backend model --seeds 2 --seconds 5"
#: What makes it short, by how a command begins.
SHORT = {
    "saturate --link rfc8867-5.1.toml": f"{MODEL_ONLY} --no-tornado",
    "saturate --gateway": "--cameras 1 --seconds 5 --seeds 2",
    "saturate": f"{MODEL_ONLY} --bitrate 20 --no-tornado",
    "fanin": MODEL_ONLY,
    "accuracy": "--clip bikes --instants 5",
    "measure": "--gateway https://gw.example:8889 --site shop-7 --token-file token --seconds 3",
    "calibrate --knees": "--link adsl2plus --seconds 2",
    "calibrate": "--link adsl2plus --seconds 2",
}
#: No answer, or not within what is promised: this machine does other things as well.
TOO_BUSY = (0, 3, 4)


def short(line: str) -> str:
    rest = line.removeprefix("fishladder loadtest ")
    return next((more for start, more in SHORT.items() if rest.startswith(start)), "")


async def test_what_a_model_answers(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    text = (ROOT / "docs" / "load-testing.md").read_text()
    [toml] = [it for it in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "[[schedule]]" in it]
    (tmp_path / "rfc8867-5.1.toml").write_text(toml)
    await shell.run(*TOML)
    for line in LIST:
        assert "docsis30" in await shell.run(line)
    for at, line in enumerate(MODELLED):
        out = f"out-{at}"
        said = await shell.run(line, more=f"{short(line)} --out {out}")
        assert "report.html" in said
        assert (tmp_path / out / "summary.json").exists()
    (tmp_path / "out-0").rename(tmp_path / "before")
    (tmp_path / "out-1").rename(tmp_path / "after")
    for line in COMPARED:
        assert "N*" in await shell.run(line)


async def test_what_bits_cost(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"your.onnx": str(strips_model(tmp_path / "strips.onnx"))})
    for line in ACCURACY:
        assert "bikes" in await shell.run(line, more=short(line))


@needs_links_here
async def test_how_wrong_the_model_is(tmp_path: Path) -> None:
    for line in CALIBRATE:
        assert "adsl2plus" in await Shell(tmp_path).run(line, more=short(line), ok=TOO_BUSY)


async def test_ones_own_stack(tmp_path: Path) -> None:
    async with fleet(tmp_path) as (system, _):
        await system.worker(strips_model(tmp_path / "strips.onnx"))
        (tmp_path / "token").touch(0o600)
        (tmp_path / "token").write_text(await system.token("shop-7"))
        await _ask(system, tmp_path)


async def _ask(system: Fleet, place: Path) -> None:
    shell = Shell(place, {"gw.example:8889": f"127.0.0.1:{system.port}", "https:": "http:"})
    for line in TO_A_GATEWAY:
        await shell.run(line, more=shell.typed(short(line)), ok=TOO_BUSY)


def test_all_that_is_shown_is_run() -> None:
    assert SHOWN.left == []
