"""Secrets given as files: found by their variable, and what is wrong with them is said."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fishladder.runtime.secret_files import SecretOption, check_mode, read_secret
from fishladder.wire.errors import ConfigError


@click.command()
@click.option("--redis", cls=SecretOption, envvar="FISHLADDER_REDIS")
def show(redis: str | None) -> None:
    click.echo(f"it is {redis}")


@pytest.mark.parametrize("given", ["file", "variable", "flag", "nothing", "no such file"])
def test_a_store_url_comes_by_flag_variable_or_file(given: str, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("redis://:from-a-file@here\n")
    file.chmod(0o600)
    env = {"FISHLADDER_REDIS_FILE": str(file)} if given != "nothing" else {}
    if given in ("variable", "flag"):
        env["FISHLADDER_REDIS"] = "by-variable"
    if given == "no such file":
        file.unlink()
    shown = CliRunner(env=env).invoke(show, ["--redis", "by-flag"] if given == "flag" else [])
    if given == "no such file":
        assert isinstance(shown.exception, ConfigError)
        assert "FISHLADDER_REDIS_FILE" in str(shown.exception)
        return
    wanted = {"file": "redis://:from-a-file@here", "variable": "by-variable", "flag": "by-flag", "nothing": "None"}
    assert shown.output == f"it is {wanted[given]}\n"


def test_modes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "secret"
    file.write_text("s")
    for mode in (0o600, 0o400, 0o640):
        file.chmod(mode)
        check_mode(file, "thing")
    assert capsys.readouterr().err == ""
    file.chmod(0o644)
    check_mode(file, "thing")
    check_mode(file, "thing")
    assert capsys.readouterr().err.count(f"thing {file}: others may get at it (mode 0644)") == 1
    file.chmod(0o602)
    with pytest.raises(ConfigError, match=r"thing .*everybody may write to it"):
        read_secret(file, "thing")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name in ("bytes", "none"):
        with pytest.raises(ConfigError, match=f"thing .*{name}"):
            read_secret(tmp_path / name, "thing")
