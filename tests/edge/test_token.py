"""An agent's token: another one in its file is used at once, one the gateway sends is kept, also where its file cannot
be written and the agent starts anew.
"""

import json
import stat
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
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


@pytest.mark.parametrize(
    ("url", "in_clear"),
    [
        ("http://gw.example:8889", True),
        ("http://10.0.0.7:8889", True),
        ("http://127.0.0.1:8889", False),
        ("http://localhost", False),
        ("http://[::1]:8889", False),
        ("https://gw.example", False),
    ],
)
def test_who_may_read_along(url: str, in_clear: bool) -> None:
    assert GatewayAddress(url).in_clear is in_clear


@pytest.mark.parametrize("bad", ["", "two words", "line\nbreak"])
def test_what_is_no_token_is_not_kept(bad: str, tmp_path: Path) -> None:
    it = keeper(tmp_path / "token")
    it.renewed(bad)
    assert (tmp_path / "token").read_text() == "first\n"


def token(number: str, ends: int) -> str:
    said = urlsafe_b64encode(json.dumps({"site": "shop", "jti": number, "exp": ends}).encode()).decode().rstrip("=")
    return f"e30.{said}.{number}-{ends}"


#: The token an agent was installed with, and what a gateway made of it.
SEED, RENEWED, AGAIN = (token("one", day) for day in (90, 150, 210))


@pytest.fixture
def seed(tmp_path: Path) -> Iterator[tuple[Path, Callable[[str], object]]]:
    """A token file in a directory nobody can write to, root neither, as systemd hands one in; and what replaces it."""
    file = tmp_path / "etc-token"
    file.write_text(SEED)
    file.chmod(0o600)
    with file.open() as held:
        yield Path(f"/proc/self/fd/{held.fileno()}"), file.write_text


def used(it: TokenKeeper) -> str:
    return it.address().headers()["Authorization"].removeprefix("Bearer ")


def starts(file: Path, state: Path | None, gateway: str = "https://gw") -> TokenKeeper:
    it = TokenKeeper(GatewayAddress(gateway, token_file=file), state)
    it.address()
    return it


def test_a_renewed_token_outlives_the_agent_where_its_file_cannot_be_written(
    seed: tuple[Path, Callable[[str], object]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, _ = seed
    state = tmp_path / "lib" / "fishladder"
    it = starts(file, state)
    it.renewed(RENEWED)
    assert (used(it), it.changed()) == (RENEWED, False)
    assert used(starts(file, state)) == RENEWED
    starts(file, state).renewed(AGAIN)
    assert used(starts(file, state)) == AGAIN
    [kept] = state.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert used(starts(file, state, "https://other")) == SEED
    said = capsys.readouterr().out
    assert "token renewed" in said
    assert "e30" not in said


def test_a_token_put_in_by_hand_wins_over_one_that_was_renewed(
    seed: tuple[Path, Callable[[str], object]], tmp_path: Path
) -> None:
    file, put = seed
    it = starts(file, tmp_path / "lib")
    it.renewed(AGAIN)
    by_hand = token("two", 200)
    put(by_hand)
    assert it.changed()
    assert used(it) == used(starts(file, tmp_path / "lib")) == by_hand
    starts(file, tmp_path / "lib").renewed(token("two", 260))
    assert used(starts(file, tmp_path / "lib")) == token("two", 260)
    put(token("one", 300))  # the same one, renewed elsewhere
    assert used(starts(file, tmp_path / "lib")) == token("one", 300)


def test_agents_of_one_directory_keep_their_own(seed: tuple[Path, Callable[[str], object]], tmp_path: Path) -> None:
    file, put = seed
    starts(file, tmp_path / "lib").renewed(RENEWED)
    put(token("yard", 80))
    starts(file, tmp_path / "lib").renewed(token("yard", 160))
    put(SEED)
    assert used(starts(file, tmp_path / "lib")) == RENEWED


@pytest.mark.parametrize(
    "kept",
    [b"", b"\xff\xfe", b"garbage", b"e30.!!!.x", b"e30.e30.x", RENEWED.encode() + b" x", token("one", 60).encode(),
     token("two", 900).encode()],
    ids=["empty", "binary", "words", "damaged", "claimless", "spaced", "expired-before", "another"],
)  # fmt: skip
def test_a_kept_token_that_is_of_no_use_is_passed_over(
    kept: bytes, seed: tuple[Path, Callable[[str], object]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, _ = seed
    starts(file, tmp_path / "lib").renewed(RENEWED)
    [place] = (tmp_path / "lib").iterdir()
    place.write_bytes(kept)
    assert used(starts(file, tmp_path / "lib")) == SEED
    assert "e30" not in capsys.readouterr().out


def test_without_a_place_for_it_the_log_says_that_it_ends_with_the_agent(
    seed: tuple[Path, Callable[[str], object]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, _ = seed
    (tmp_path / "full").write_text("")
    for state in (None, tmp_path / "full" / "lib"):
        it = starts(file, state)
        it.renewed(RENEWED)
        assert used(it) == RENEWED
        said = capsys.readouterr().out
        assert "it is kept until this agent ends" in said
        assert "e30" not in said
    assert "Not a directory" in said


def test_a_kept_token_that_the_gateway_refuses_gives_way_to_that_in_the_file(
    seed: tuple[Path, Callable[[str], object]], tmp_path: Path
) -> None:
    """As by a gateway that was restored from before it made the other: both are tried, in turn."""
    file, put = seed
    starts(file, tmp_path / "lib").renewed(RENEWED)
    it = starts(file, tmp_path / "lib")
    assert [(used(it), it.refused()) for _ in range(4)] == [
        (RENEWED, True),
        (SEED, False),
        (RENEWED, True),
        (SEED, False),
    ]
    it.refused()
    it.renewed(AGAIN)
    assert used(it) == AGAIN
    it.refused()
    put(by_hand := token("two", 200))
    assert (used(it), it.refused(), used(it)) == (by_hand, False, by_hand)
