"""Tokens say who may send what; making and checking them, and the file they are signed with."""

import json
import stat
import subprocess
import sys
import time
from pathlib import Path

import jwt
import pytest

from fishladder.gateway.tokens import ALL_SITES, Grant, KeyFile, bearer, issue, renew, renewal_due, still_valid, verify
from fishladder.gateway.tokens_cli import lifetime_s
from fishladder.wire.errors import AuthRefused, ConfigError

NOW = time.time()


def made(keys: KeyFile, **told: object) -> str:
    claims = {
        "subject": "agent",
        "site": "shop-7",
        "cameras": ["*"],
        "scope": ["publish"],
        "lifetime_s": 3600,
        "now": NOW,
    }
    return issue(keys, **(claims | told))  # type: ignore[arg-type]


def test_what_was_issued_is_what_is_granted(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    grant = verify(keys, made(keys, cameras=["door*", "yard"], scope=["publish", "view"]))
    assert (grant.subject, grant.site, grant.cameras, grant.scope) == (
        "agent",
        "shop-7",
        ("door*", "yard"),
        ("publish", "view"),
    )
    assert grant.allows("shop-7/door-3")
    assert not grant.allows("shop-7/gate")
    assert not grant.allows("shop-70/door-3")
    assert still_valid(grant)
    assert not still_valid(grant, NOW + 7200)


def test_a_grant_for_everything_is_what_auth_off_gives() -> None:
    assert Grant("anyone", None).allows("shop-7/door")


def test_keys_are_made_once_private_and_read_again_when_they_change(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "keys.json"
    keys = KeyFile(path)
    token = made(keys)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert verify(KeyFile(path), token).site == "shop-7"
    path.write_text(json.dumps({**json.loads(path.read_text()), "newer": "y" * 40}))
    assert jwt.get_unverified_header(made(keys))["kid"] == "newer"
    assert verify(keys, token).site == "shop-7"
    path.write_text(json.dumps({"newer": "y" * 40}))
    with pytest.raises(AuthRefused, match="a key this gateway does not have"):
        verify(keys, token)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"k": 5}', '{"k": "short"}', "{"])
def test_a_key_file_that_will_not_do_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"keys\.json"):
        KeyFile(path).keys()


def test_tokens_that_lack_something_are_refused(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    [(kid, secret)] = keys.keys().items()
    for claims in (
        {},
        {"sub": "x", "site": "s"},
        {"sub": "x", "exp": NOW + 86_400},
        {"sub": "x", "site": 5, "exp": NOW + 86_400},
    ):
        with pytest.raises(AuthRefused):
            verify(keys, jwt.encode(claims, secret, algorithm="HS256", headers={"kid": kid}))
    good = {"sub": "x", "site": "s", "exp": int(NOW + 86_400)}
    assert verify(keys, jwt.encode(good, secret, algorithm="HS256", headers={"kid": kid})).site == "s"
    with pytest.raises(AuthRefused):
        verify(keys, jwt.encode(good, secret, algorithm="HS512", headers={"kid": kid}))


def test_only_a_bearer_token_will_do() -> None:
    assert bearer("bearer  abc ") == "abc"
    for header in (None, "", "Basic abc", "Bearer", "Bearer "):
        with pytest.raises(AuthRefused, match="Authorization: Bearer"):
            bearer(header)


def test_life_times() -> None:
    assert [lifetime_s(text) for text in ("10m", "2h", "90d", "1w", "1y")] == [
        600,
        7200,
        7_776_000,
        604_800,
        31_536_000,
    ]
    for text in ("", "90", "d", "0d", "-1d", "1.5h", "9999999y"):
        with pytest.raises(ConfigError, match="--expires"):
            lifetime_s(text)


def test_the_command_prints_the_token_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fishladder.runtime", "token", "create", "--data-dir", str(tmp_path)]
    done = subprocess.run(
        [*command, "--site", "shop-7", "--camera", "door*"], capture_output=True, text=True, check=True
    )
    grant = verify(KeyFile(tmp_path / "keys.json"), done.stdout.removesuffix("\n"))
    assert (grant.site, grant.cameras) == ("shop-7", ("door*",))
    assert done.stderr == ""
    wrong = subprocess.run([*command, "--site", "Shop 7"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "--site 'Shop 7' is not allowed" in wrong.stderr
    assert wrong.stdout == ""


def run_token(place: Path, *words: str, status: int = 0) -> str:
    """`fishladder token ...` on the files in `place`; what it printed, or said on stderr if it had to fail."""
    command = [sys.executable, "-m", "fishladder.runtime", "token", *words, "--data-dir", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout


def test_tokens_are_listed_and_taken_back(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    first = run_token(tmp_path, "create", "--site", "shop-7", "--camera", "door*").strip()
    second = run_token(tmp_path, "create", "--site", "shop-8").strip()
    grant, other = verify(keys, first), verify(keys, second)
    listed = run_token(tmp_path, "list")
    assert f"{grant.id}  shop-7" in listed
    assert first not in listed
    assert "door*" in listed
    assert listed.count("good") == 2
    assert f"revoked {grant.id}" in run_token(tmp_path, "revoke", grant.id)
    with pytest.raises(AuthRefused, match="revoked"):
        verify(keys, first)
    assert not still_valid(grant)
    assert still_valid(other)
    assert [it["revoked"] > 0 for it in json.loads(run_token(tmp_path, "list", "--json", "--site", "shop-7"))] == [True]
    assert f"revoked {other.id}" in run_token(tmp_path, "revoke", "--site", "shop-8")
    assert not still_valid(other)
    assert "0123456789ab" in run_token(tmp_path, "revoke", "0123456789ab", status=2)
    assert "site 'shop-9'" in run_token(tmp_path, "revoke", "--site", "shop-9", status=2)


def test_keys_are_rotated(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    old = made(keys)
    grant = verify(keys, old)
    assert "new key" in run_token(tmp_path, "rotate")
    new = made(keys)
    assert verify(keys, old).kid != verify(keys, new).kid
    run_token(tmp_path, "rotate", "--drop", grant.kid)
    with pytest.raises(AuthRefused, match="a key this gateway does not have"):
        verify(keys, old)
    assert not still_valid(grant)
    assert verify(keys, new)
    assert "its key is gone" in run_token(tmp_path, "list")
    assert "the only one" in run_token(tmp_path, "rotate", "--drop", verify(keys, new).kid, status=2)


def test_swapping_the_kid_does_not_help(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    first = keys.rotate()
    signed = jwt.encode(
        {"sub": "x", "site": "s", "exp": int(NOW + 999)}, keys.keys()[first], headers={"kid": keys.rotate()}
    )
    for kid in (None, "", "../../etc/passwd", "nobody's"):
        with pytest.raises(AuthRefused):
            verify(keys, jwt.encode({"sub": "x"}, "y" * 40, headers={"kid": kid} if kid is not None else {}))
    with pytest.raises(AuthRefused):
        verify(keys, signed)


def test_scopes_and_sites(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    viewer = verify(keys, made(keys, scope=["view"]))
    assert viewer.may("view")
    assert not viewer.may("publish")
    assert not viewer.may("admin")
    admin = verify(keys, made(keys, site=ALL_SITES, scope=["admin"]))
    assert admin.may("view")
    assert not admin.may("publish")
    assert admin.allows("anywhere/door")
    assert admin.allows_site("anywhere")
    assert not viewer.allows_site("anywhere")
    with pytest.raises(ConfigError, match="--site"):
        made(keys, site=ALL_SITES, scope=["publish"])
    [(kid, secret)] = keys.keys().items()
    everywhere = {"sub": "x", "site": "*", "exp": int(NOW + 999), "scope": ["publish"]}
    with pytest.raises(AuthRefused):
        verify(keys, jwt.encode(everywhere, secret, headers={"kid": kid}))


def test_a_file_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    token = made(keys)
    for name in ("keys.json", "tokens.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        (tmp_path / name).chmod(0o666)
        with pytest.raises(ConfigError, match=rf"{name}: everybody may write to it \(mode 0666\): chmod 600"):
            verify(KeyFile(tmp_path / "keys.json"), token)
        (tmp_path / name).chmod(0o600)


def test_a_register_that_cannot_be_read_lets_nobody_new_in(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    token = made(keys)
    grant = verify(keys, token)
    (tmp_path / "tokens.json").write_text("{")
    with pytest.raises(ConfigError, match=r"tokens\.json"):
        verify(keys, token)
    assert still_valid(grant)


def test_a_token_is_renewed_in_its_last_third_and_keeps_its_id(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    grant = verify(keys, made(keys, lifetime_s=9000))
    assert not renewal_due(grant, NOW + 5000)
    assert renewal_due(grant, NOW + 6001)
    token, again = renew(grant, NOW + 6001)
    assert (again.id, again.site, again.cameras) == (grant.id, grant.site, grant.cameras)
    assert again.expires == pytest.approx(NOW + 15_001, abs=1.5)
    assert not renewal_due(again, NOW + 6001)
    assert len(keys.register.tokens()) == 1
    keys.rotate()
    assert renewal_due(again, NOW + 6001), "a new key goes round by itself"
    assert verify(keys, renew(again, NOW + 6001)[0]).kid == list(keys.keys())[-1]
    keys.register.revoke([grant.id], NOW)
    with pytest.raises(AuthRefused, match="revoked"):
        renew(again, NOW + 6001)
    with pytest.raises(AuthRefused, match="revoked"):
        verify(keys, token)


def test_who_asked_for_no_renewal_gets_none(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    assert not renewal_due(verify(keys, made(keys, renew=False, lifetime_s=60)), NOW + 59)
    assert not renewal_due(Grant("anyone", None), NOW)
