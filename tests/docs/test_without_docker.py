"""The stack without Docker, by the commands that the documents show, word for word but for what is the reader's own:
gateway and stores, workers, an agent, and what one asks them.
"""

import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from support.certificates import localhost_certificate
from support.doc_commands import ROOT, Shown
from support.fleet import fleet, free_port
from support.models import strips_model
from support.receivers import receiver
from support.shell import Shell
from support.stores import wait_until

pytestmark = pytest.mark.timeout(300)

SHOWN = Shown(__file__)
GATEWAY_RUN = SHOWN.take("fishladder gateway run")
TOKEN_CREATE = SHOWN.take("fishladder token create")
WORKER_RUN = SHOWN.take(r"fishladder worker run$")
WORKER_RUN_HELP = SHOWN.take("fishladder worker run --help")
WORKER_RUN_MODEL = SHOWN.take("fishladder worker run --model")
RESULTS_F = SHOWN.take("fishladder results -f")
STATUS = SHOWN.take("fishladder status")
LEDGER = SHOWN.take(r"fishladder ledger( SITE)?$")
LEDGER_AUDIT = SHOWN.take(r"fishladder ledger --audit")
EDGE_SPOOL = SHOWN.take("fishladder edge spool")
LEDGER_SHOP_AUDIT_SPOOL = SHOWN.take("fishladder ledger shop-7 --audit --spool")
DOCTOR = SHOWN.take("fishladder doctor")
SINK_RUN = SHOWN.take("fishladder sink run")
FORGET = SHOWN.take("fishladder forget")
TOKEN_LIST = SHOWN.take(r"fishladder token list$")
TOKEN_REVOKE = SHOWN.take("fishladder token revoke")
TOKEN_ROTATE = SHOWN.take("fishladder token rotate$")
TOKEN_ROTATE_DROP = SHOWN.take("fishladder token rotate --drop")
EDGE_CHECK = SHOWN.take("fishladder edge check")
EDGE_RUN_GATEWAY = SHOWN.take("fishladder edge run --gateway")
EDGE_RUN = SHOWN.take(r"fishladder edge run \.\.\.")
EDGE_CHECK_GATEWAY = SHOWN.take("fishladder edge check --gateway")
RETIRE = SHOWN.take("fishladder retire")
PYTEST = SHOWN.take("pytest")

#: While there is no worker.
NOT_ALL_COMMITTED = (0, 1)


def a_host(place: Path) -> Shell:
    """Whose gateway has a certificate of localhost, and whose cameras are test patterns."""
    certificate = localhost_certificate(place)
    certificate.cert.rename(place / "ca.pem")
    strips_model(place / "detector.onnx")
    (place / "names.txt").write_text("somebody\n")
    port = free_port()
    (place / "edge.toml").write_text(
        f'[edge]\ngateway = "https://localhost:{port}"\nsite = "shop-7"\ntoken_file = "{place}/token"\n'
        f'ca_file = "{place}/ca.pem"\n[[camera]]\nname = "door"\nsource = "test:160x120@10"\n'
    )
    env = {
        "FISHLADDER_DATA_DIR": str(place / "data"),
        "XDG_STATE_HOME": str(place / "state"),
        "FISHLADDER_GATEWAY_PORT": str(port),
        "FISHLADDER_GATEWAY_TLS_CERT": str(place / "ca.pem"),
        "FISHLADDER_GATEWAY_TLS_KEY": str(certificate.key),
        "FISHLADDER_EDGE_CA_FILE": str(place / "ca.pem"),
        "FISHLADDER_WORKER_MODEL": str(place / "detector.onnx"),
        "FISHLADDER_WORKER_PROCESSES": "1",
        "FISHLADDER_EDGE_DRAIN_S": "1",
        "NO_PROXY": "*",
    }
    env |= {f"FISHLADDER_{part}_METRICS_PORT": "0" for part in ("GATEWAY", "WORKER", "EDGE", "SINKS")}
    stands_for = {
        "https://gw.example:8889": f"https://localhost:{port}",
        "rtsp://10.0.0.7/stream1": "test:160x120@10",
        "v4l2:/dev/video0": "test:160x120@10",
        "/etc/fishladder/edge.toml": str(place / "edge.toml"),
        "--from ...": "--from 2026-01-31T14:00Z",
        "SITE/CAMERA": "shop-7/door",
        " SITE": " shop-7",
    }
    return Shell(place, stands_for, env)


async def test_from_a_gateway_to_results_and_their_end(tmp_path: Path) -> None:
    shell = a_host(tmp_path)
    async with AsyncExitStack() as until_the_end:

        async def start(line: str, says: str, more: str = "") -> None:
            agent = NOT_ALL_COMMITTED if " edge run " in line else (0,)
            await until_the_end.enter_async_context(shell.running(line, says, more=more, ends=agent))

        await start(*GATEWAY_RUN, says="listening")
        tokens = [await shell.run(line) for line in TOKEN_CREATE]
        assert all(token.count(".") == 2 for token in tokens)
        (tmp_path / "token").touch(0o600)
        (tmp_path / "token").write_text(await shell.run("fishladder token create --site shop-7"))
        ids = [it["id"] for it in json.loads(await shell.run("fishladder token list --json"))]
        shell.stands_for = {**shell.stands_for, "3f9c21aa07de": ids[0]}

        [plain] = WORKER_RUN
        await _an_agent_comes(shell, start)
        async with shell.running(plain):
            await _goes_on(shell)
        assert "--provider" in await shell.run(*WORKER_RUN_HELP)
        await start(*WORKER_RUN_MODEL, says="")
        await _goes_on(shell)

        [follow] = RESULTS_F
        assert "shop-7/door" in await shell.run(f"timeout 20 {follow} | head -1")
        said = [await shell.run(line, ok=(0, 1)) for line in STATUS]
        assert "shop-7" in said[-1]
        for line in LEDGER:
            assert "captured" in await shell.run(line)
        for line in LEDGER_AUDIT:
            await shell.run(line)
        await shell.run(*EDGE_SPOOL)
        await shell.run(*LEDGER_SHOP_AUDIT_SPOOL)
        await shell.run(*DOCTOR, ok=(0, 1))
        async with receiver() as hooks:
            [line] = SINK_RUN
            async with shell.running(line, "delivering", more=f"--webhook http://127.0.0.1:{hooks.port}/hook"):
                await wait_until(lambda: hooks.got, 30, "a result by webhook")

        for line in FORGET:
            await shell.run(line, stdin="y\n")
        assert ids[0][:8] in await shell.run(*TOKEN_LIST)
        for line in TOKEN_REVOKE:
            await shell.run(line)
        await shell.run(*TOKEN_ROTATE)
        keys = json.loads((tmp_path / "data" / "keys.json").read_text())
        await shell.run(*TOKEN_ROTATE_DROP, more=_older(keys))
    # The site has gone with its agent. Its gateway goes last, with the stores, so this one begins anew.


def _older(keys: dict[str, object]) -> str:
    """The key that signs no more."""
    return next(str(kid) for kid in keys)


async def _an_agent_comes(shell: Shell, start: Callable[..., Awaitable[None]]) -> None:
    """First it is looked whether all is well, by each of the commands for that; then it stays."""
    for line in EDGE_CHECK:
        assert "FAIL" not in await shell.run(line)
    assert list((shell.place / "pictures").iterdir())
    [said] = EDGE_RUN_GATEWAY
    [rest] = EDGE_RUN
    check = EDGE_CHECK_GATEWAY[0].removeprefix("fishladder edge check ")
    async with shell.running(rest.replace("...", check), "uplink is up", ends=NOT_ALL_COMMITTED):
        pass
    await start(said, says="uplink is up")


async def _goes_on(shell: Shell) -> None:
    async def inferred() -> int:
        found = json.loads(await shell.run("fishladder ledger --json", ok=(0, 1)))
        return sum(it["inferred"] for it in found["cameras"])

    before = await inferred()

    async def more() -> bool:
        return await inferred() > before + 3

    await wait_until(more, 60, "results", 0.5)


async def test_a_site_that_is_gone_for_good(tmp_path: Path) -> None:
    shell = a_host(tmp_path)
    async with shell.running("fishladder gateway run", "listening"):
        (tmp_path / "token").touch(0o600)
        (tmp_path / "token").write_text(await shell.run("fishladder token create --site shop-7"))
        async with shell.running("fishladder edge run --config edge.toml", "uplink is up", ends=NOT_ALL_COMMITTED):
            pass

        async def known() -> bool:
            return "shop-7" in await shell.run("fishladder status", ok=(0, 1))

        await wait_until(known, 30, "the site is known", 0.5)

        async def away() -> bool:
            return "retired" in await shell.run(RETIRE[0], ok=(0, 2))

        await wait_until(away, 40, "its agent has been gone for long enough", 1.0)
        for line in RETIRE[1:]:
            await shell.run(line, ok=(2,))  # there is none


async def test_whip_conformance_of_a_gateway_elsewhere(tmp_path: Path) -> None:
    [line] = PYTEST
    async with fleet(tmp_path) as (system, _):
        there = {"https://host": system.url, "TOKEN": await system.token("lab"), "tests/": f"{ROOT}/tests/"}
        options = f"-q -p no:cacheprovider -c {ROOT}/pyproject.toml -k 'post or preflight' --basetemp {tmp_path}/inner"
        said = await Shell(tmp_path, there, {"PYTEST_ADDOPTS": ""}).run(line, more=options)
        assert " passed" in said
        assert "failed" not in said


def test_all_that_is_shown_is_run() -> None:
    assert SHOWN.left == []
