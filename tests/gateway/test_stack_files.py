"""`fishladder gateway init`: a stack's secrets, made once and kept, each where its reader alone sees it."""

import asyncio
import re
import shutil
import ssl
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis.exceptions import RedisError
from support.certificates import localhost_certificate
from support.stores import short_tmp, wait_until

from fishladder.gateway.authority import fits, make_authority, sign_server
from fishladder.gateway.stack_files import init
from fishladder.gateway.tokens import KeyFile, verify
from fishladder.runtime.server import find_server
from fishladder.runtime.store import connect
from fishladder.wire.errors import ConfigError


def run(place: Path, *arguments: str) -> Result:
    return CliRunner().invoke(init, [str(place), *arguments], catch_exceptions=False)


def content(place: Path) -> dict[str, bytes]:
    files = [path for path in place.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(place)): path.read_bytes() for path in files}


def test_each_reader_gets_its_own_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    assert run(tmp_path, "--name", "gw.example").exit_code == 0
    assert set(content(tmp_path)) == {
        "own/ca.key",
        "own/ca.pem",
        *(
            f"{store}/{name}"
            for store in ("frames", "state")
            for name in ("store.conf", "users.acl", "operator.password")
        ),
        "sink/redis.url",
        "admin/redis.url",
        "admin/reader.url",
        *(f"gateway/{name}" for name in ("keys.json", "tokens.json", "cert.pem", "key.pem", "ca.pem")),
        *(f"{reader}/{store}.url" for reader in ("gateway", "worker") for store in ("redis", "frames")),
        "edge/token",
        "edge/ca.pem",
        "grafana/admin.password",
    }
    for name in content(tmp_path):
        assert not stat.S_IMODE((tmp_path / name).stat().st_mode) & 0o007, name
        assert not stat.S_IMODE((tmp_path / name).parent.stat().st_mode) & 0o007, name


def test_two_stacks_have_nothing_in_common(tmp_path: Path) -> None:
    for place in ("one", "two"):
        run(tmp_path / place, "--name", "gw.example")
    one, two = content(tmp_path / "one"), content(tmp_path / "two")
    same = {"frames/store.conf", "state/store.conf"}
    assert {name for name in one if one[name] == two[name]} == same
    passwords = re.findall(rb"://\w+:(\S{40,})@", b"".join(one[name] for name in one if name.endswith(".url")))
    assert len(set(passwords)) == 7
    for password in passwords:
        assert not any(password in one[f"{store}/users.acl"] for store in ("frames", "state"))


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    first = run(tmp_path, "--name", "gw.example")
    before = content(tmp_path)
    assert run(tmp_path, "--name", "gw.example").output == first.output
    assert content(tmp_path) == before


def test_other_names_mean_another_certificate_by_the_same_authority(tmp_path: Path) -> None:
    run(tmp_path, "--name", "gw.example")
    before = content(tmp_path)
    run(tmp_path, "--name", "gw.example, 192.0.2.7 gw2.example")
    after = content(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"gateway/cert.pem", "gateway/key.pem"}


def test_the_token_is_one_the_gateway_takes(tmp_path: Path) -> None:
    run(tmp_path)
    grant = verify(KeyFile(tmp_path / "gateway" / "keys.json"), (tmp_path / "edge" / "token").read_text().strip())
    assert (grant.site, grant.scope) == ("demo", ("publish",))


def test_a_client_that_trusts_the_authority_trusts_the_gateway_by_each_name(tmp_path: Path) -> None:
    run(tmp_path, "--name", "gw.example", "--name", "192.0.2.7")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "gateway" / "cert.pem", tmp_path / "gateway" / "key.pem")
    client = ssl.create_default_context(cafile=str(tmp_path / "edge" / "ca.pem"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does
    for name in ("gw.example", "192.0.2.7"):
        assert shake(client, server, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(client, server, "elsewhere.example")


def shake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> bool:
    """A TLS handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[0].version() is not None


def test_ones_own_certificate_takes_its_place_and_stays(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    own = localhost_certificate(mine)
    place = tmp_path / "stack"
    run(place)
    said = run(place, "--tls-cert", str(own.cert), "--tls-key", str(own.key))
    assert "your own" in said.output
    run(place, "--name", "other.example")
    assert (place / "gateway" / "cert.pem").read_bytes() == own.cert.read_bytes()


def test_mistakes_are_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nonsense")
    for arguments, said in (
        (("--name", "a b/c"), "expected a host name"),
        (("--tls-cert", str(wrong)), "name both"),
        (("--tls-cert", str(wrong), "--tls-key", str(wrong)), "wrong.pem"),
    ):
        with pytest.raises(ConfigError, match=said):
            run(tmp_path / "stack", *arguments)


def test_a_certificate_is_renewed_in_time() -> None:
    now = datetime.fromtimestamp(time.time(), UTC)
    authority = make_authority(now)
    made = sign_server(authority, ["gw.example"], now)
    assert fits(made.cert, authority.cert, ["gw.example"], now)
    assert not fits(made.cert, authority.cert, ["gw.example"], now + timedelta(days=500))
    assert not fits(made.cert, make_authority(now).cert, ["gw.example"], now)


def logins(place: Path, store: str) -> dict[str, str]:
    """Who has which password for a store."""
    urls = "".join(file.read_text() for file in place.rglob("*.url"))
    return dict(re.findall(rf"redis://(\w+):(\S+)@{store}:", urls)) | {
        "operator": (place / store / "operator.password").read_text().strip()
    }


@pytest.mark.parametrize(
    ("store", "who"), [("frames", {"gateway", "worker"}), ("state", {"gateway", "worker", "sink", "admin", "reader"})]
)
async def test_a_store_takes_its_users_file_and_each_part_gets_in_as_itself(
    store: str, who: set[str], tmp_path: Path
) -> None:
    run(tmp_path)
    place = short_tmp()
    socket = str(place / "s")
    options = ["--port", "0", "--save", "", "--dir", str(place), "--unixsocket", socket]
    options += ["--aclfile", str(tmp_path / store / "users.acl")]
    server = await asyncio.create_subprocess_exec(
        await find_server(),
        *options,
        "--aclfile",
        str(tmp_path / store / "users.acl"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await wait_until((place / "s").exists, 10)
        found = logins(tmp_path, store)
        assert set(found) == who | {"operator"}
        for user, password in found.items():
            client = connect(f"unix://{user}:{password}@{socket}")
            assert await client.ping(), user
            await client.aclose()
        stranger = connect(f"unix://{socket}")
        with pytest.raises(RedisError, match=r"authenticated|NOAUTH"):
            await stranger.ping()
        await stranger.aclose()
    finally:
        server.terminate()
        await server.wait()
        shutil.rmtree(place)
