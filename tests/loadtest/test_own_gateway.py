"""A stack of the user's own: what is in the way is said before anything is drawn, encoded or waited for."""

from pathlib import Path

import pytest
from support.certificates import localhost_certificate
from support.commands import fishladder
from support.fleet import fleet

GONE = "http://127.0.0.1:9"
COMMANDS = ("saturate", "fanin", "measure")


def keep(place: Path, token: str) -> None:
    (place / "token").touch(0o600)
    (place / "token").write_text(token)


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_gateway_that_is_not_there(tmp_path: Path, command: str) -> None:
    keep(tmp_path, "x.y.z")
    flags = [
        "--gateway",
        GONE,
        "--site",
        "shop",
        "--token-file",
        str(tmp_path / "token"),
        "--out",
        str(tmp_path / "it"),
    ]
    done = await fishladder("loadtest", command, *flags)
    assert (done.status, done.out) == (3, "")
    assert done.err.startswith(f"fishladder: gateway {GONE} cannot be reached")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "it").exists()


async def test_a_token_for_another_site(tmp_path: Path) -> None:
    async with fleet(tmp_path) as (stack, _):
        keep(tmp_path, await stack.token("depot"))
        flags = ["--gateway", stack.url, "--site", "shop", "--token-file", str(tmp_path / "token")]
        done = await fishladder("loadtest", "saturate", *flags, "--cameras", "1", "--out", str(tmp_path / "it"))
    assert done.status == 3
    assert "shop/cam0" in done.err
    assert "token" in done.err


async def test_a_ca_of_ones_own(tmp_path: Path) -> None:
    made = localhost_certificate(tmp_path)
    async with fleet(tmp_path, ["--tls-cert", str(made.cert), "--tls-key", str(made.key)]) as (stack, _):
        keep(tmp_path, await stack.token("shop"))
        url = f"https://localhost:{stack.port}"
        command = ["loadtest", "saturate", "--cameras", "1", "--seconds", "5", "--bitrate", "0.1"]
        command += ["--gateway", url, "--site", "shop", "--token-file", str(tmp_path / "token")]
        done = await fishladder(*command, "--out", str(tmp_path / "strange"))
        assert done.status == 3
        assert "--ca-file" in done.err or "ca_file" in done.err
        done = await fishladder(*command, "--out", str(tmp_path / "known"), "--ca-file", str(made.cert))
    assert (tmp_path / "known" / "report.html").exists(), done.err
