"""An agent's token: another one in its file is used at once, one the gateway sends is kept."""

import stat
from pathlib import Path

import pytest

from fishladder.edge.gateway_address import GatewayAddress
from fishladder.edge.token import TokenKeeper


def keeper(file: Path, text: str = "first\n") -> TokenKeeper:
    file.write_text(text)
    file.chmod(0o600)
    it = TokenKeeper(GatewayAddress("https://gw", token_file=file))
    assert it.address().headers() == {"Authorization": f"Bearer {text.strip()}"}
    return it


def test_another_token_in_the_file_is_seen(tmp_path: Path) -> None:
    it = keeper(tmp_path / "token")
    assert not it.changed()
    (tmp_path / "token").write_text("second\n")
    assert it.changed()
    assert it.address().headers() == {"Authorization": "Bearer second"}
    assert not it.changed()
    (tmp_path / "token").unlink()
    assert not it.changed()


def test_a_renewed_token_goes_into_the_file_with_its_modes(tmp_path: Path) -> None:
    it = keeper(tmp_path / "token")
    it.renewed("second")
    assert (tmp_path / "token").read_text() == "second\n"
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert not it.changed()
    assert it.address().headers() == {"Authorization": "Bearer second"}
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_a_link_to_the_token_stays_a_link(tmp_path: Path) -> None:
    keeper(tmp_path / "real")
    (tmp_path / "token").symlink_to(tmp_path / "real")
    it = TokenKeeper(GatewayAddress("https://gw", token_file=tmp_path / "token"))
    it.address()
    it.renewed("second")
    assert (tmp_path / "token").is_symlink()
    assert (tmp_path / "real").read_text() == "second\n"


def test_where_it_cannot_be_written_it_is_kept_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    it = keeper(tmp_path / "token")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    it.renewed("second")
    said = capsys.readouterr().out
    assert "No space left" in said
    assert "second" not in said
    assert it.address().headers() == {"Authorization": "Bearer second"}
    assert not it.changed()
    (tmp_path / "token").write_text("third\n")
    assert it.address().headers() == {"Authorization": "Bearer third"}


@pytest.mark.parametrize("bad", ["", "two words", "line\nbreak"])
def test_what_is_no_token_is_not_kept(bad: str, tmp_path: Path) -> None:
    it = keeper(tmp_path / "token")
    it.renewed(bad)
    assert (tmp_path / "token").read_text() == "first\n"
