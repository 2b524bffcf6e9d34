"""The whole way of a frame with each part logged in to the stores as its own user, who may do what it needs and no
more; and none of the secrets in use is in any log or metric afterwards.
"""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

import aiohttp
import pytest
from redis.exceptions import NoPermissionError, RedisError
from support.fleet import Fleet, free_port, until
from support.models import strips_model
from support.stores import reset, temporary_pair

from fishladder.runtime.embedded import frames_options, state_options
from fishladder.runtime.store import StoreUrls, connect, open_stores
from fishladder.wire import keys

ACL = files("fishladder.gateway") / "acl"
STATE_USERS, FRAMES_USERS = ((ACL / f"{store}.acl").read_text() for store in ("state", "frames"))
PASSWORDS = {"gateway": "gw-53cret-a", "worker": "wk-53cret-b", "reader": "rd-53cret-c", "admin": "ad-53cret-d"}
CAMERA = "shop/door"


async def set_users(url: str, users: str) -> None:
    """Give a running server the users of an ACL file's text, as `aclfile` would."""
    client = connect(url)
    for line in filter(None, users.splitlines()):
        _, name, *rules = line.split()
        if name != "default":  # it stays, for the test itself
            await client.execute_command("ACL", "SETUSER", name, "reset", *rules)
    for name, password in PASSWORDS.items():
        with contextlib.suppress(RedisError):
            if await client.execute_command("ACL", "GETUSER", name):
                placeholder = f"{name.upper()}_PASSWORD"
                await client.execute_command("ACL", "SETUSER", name, f"<{placeholder}", f">{password}")
    await client.execute_command("ACL", "LOG", "RESET")
    await client.aclose()


def as_user(url: str, name: str) -> str:
    return url.replace("unix://", f"unix://{name}:{PASSWORDS[name]}@")


@asynccontextmanager
async def guarded_stores() -> AsyncIterator[StoreUrls]:
    async with temporary_pair() as urls:
        await reset(urls.frames, frames_options(64 << 20))
        await reset(urls.state, state_options(64 << 20))
        await set_users(urls.state, STATE_USERS)
        await set_users(urls.frames, FRAMES_USERS)
        yield urls


async def denied(url: str) -> list[str]:
    client = connect(url)
    found = [
        f"{entry[b'username'].decode()} {entry[b'reason'].decode()} {entry[b'object'].decode()}"
        for entry in (
            dict(zip(row[::2], row[1::2], strict=True)) if isinstance(row, list) else row
            for row in await client.execute_command("ACL", "LOG")
        )
    ]
    await client.aclose()
    return [it for it in found if not it.endswith("client|setinfo")]  # a courtesy clients do without; Redis 7.2


async def test_the_whole_way_under_the_documented_users_and_no_secret_in_sight(tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    files = {}
    async with guarded_stores() as urls:
        for name in ("gateway", "worker"):
            for store, url in (("redis", urls.state), ("frames", urls.frames)):
                file = files[name, store] = tmp_path / f"{name}.{store}"
                file.write_text(as_user(url, name) + "\n")
                file.chmod(0o600)
        system = Fleet(tmp_path)
        metrics = free_port()
        try:
            system.environment = {
                "FISHLADDER_REDIS_FILE": str(files["gateway", "redis"]),
                "FISHLADDER_FRAMES_FILE": str(files["gateway", "frames"]),
            }
            await system.gateway("--metrics-port", str(metrics), "--log-level", "debug")
            system.environment = {
                "FISHLADDER_REDIS_FILE": str(files["worker", "redis"]),
                "FISHLADDER_FRAMES_FILE": str(files["worker", "frames"]),
            }
            await system.worker(model, "--log-level", "debug")
            system.environment = {}
            token = await system.token("shop")
            viewer = await system.token("shop", "--scope", "view")
            edge = await system.edge("shop", {"door": "test:320x240@10"}, "--log-level", "debug", token=token)
            bad = await system.edge("shop", {"x": "rtsp://admin:cam-53cret@127.0.0.1:9/s?key=k3y-53cret"}, token=token)
            async with open_stores(urls) as stores:

                async def inferred() -> bool:
                    found = await system.ledger(stores, CAMERA)
                    return found.cursor.seq > 20

                await until(inferred, 60, "frames are inferred")
                async with aiohttp.ClientSession() as http:
                    for path in ("/v1/uplink", f"/whip/{CAMERA}"):
                        told = {"Authorization": f"Bearer {viewer}"}
                        method = "POST" if "whip" in path else "GET"
                        assert (await http.request(method, system.url + path, headers=told)).status == 403
                    shown = await (await http.get(f"http://127.0.0.1:{metrics}/metrics")).text()
                reader = as_user(urls.state, "reader")
                status, out, err = await system.run("results", CAMERA, "--redis", reader, "--json")
                assert (status, out.count('"camera":"shop/door"') > 0) == (0, True), err
                assert await edge.stop() == 0
                await system.settled(stores, CAMERA)
                status, ledger_out, err = await system.run("ledger", "--redis", reader)
                assert status == 0, err
                status, _, err = await system.run("forget", CAMERA, "--yes", "--redis", as_user(urls.state, "admin"))
                assert status == 0, err
            await bad.stop()
            assert await denied(urls.state) == []
            assert await denied(urls.frames) == []
            for part in system.parts:
                await part.stop()
        except BaseException:
            print(await denied(urls.state), await denied(urls.frames))
            for part in system.parts:
                print(f"--- {part.log.name}\n{part.said[-4000:]}")
            raise
        finally:
            for part in system.parts:
                if part.process.returncode is None:
                    part.kill()
                await part.process.wait()
    key = next(iter((tmp_path / "data" / "keys.json").read_text().split('"')[3::4]))
    said = [part.said for part in system.parts] + [shown, out, ledger_out]
    assert "camera open" in said[0]
    for secret in (*PASSWORDS.values(), token, viewer, token.rpartition(".")[2], key, "cam-53cret", "k3y-53cret"):
        for text in said:
            assert secret not in text


@pytest.mark.parametrize(
    ("user", "store", "command"),
    [
        ("reader", "state", ("SET", "fl:{1}:lease", "x")),
        ("reader", "state", ("DEL", keys.results(1, CAMERA))),
        ("reader", "state", ("PUBLISH", "fl:{1}:control", "x")),
        ("reader", "state", ("XADD", keys.results(1, CAMERA), "*", "r", "x")),
        ("reader", "frames", ("PING",)),
        ("gateway", "state", ("SET", "fl:{1}:lease", "x")),
        ("gateway", "state", ("XADD", keys.results(1, CAMERA), "*", "r", "x")),
        ("gateway", "state", ("EVAL", "return redis.call('HINCRBY', KEYS[1], 'f', 1)", "1", keys.ledger(1, CAMERA))),
        ("worker", "state", ("SADD", "fl:site:shop", "x")),
        ("worker", "frames", ("XADD", keys.log(1, CAMERA), "1-1", "u", "x")),
        ("worker", "state", ("CONFIG", "SET", "appendonly", "no")),
        ("gateway", "state", ("FLUSHALL",)),
        ("gateway", "state", ("KEYS", "*")),
        ("gateway", "frames", ("ACL", "LIST")),
        ("admin", "state", ("FLUSHALL",)),
        ("admin", "frames", ("PING",)),
        ("worker", "frames", ("SHUTDOWN",)),
        ("worker", "state", ("GET", "somebody:elses")),
    ],
)
async def test_nobody_may_do_what_is_not_his(
    user: str, store: str, command: tuple[str, ...], guarded: StoreUrls
) -> None:
    client = connect(as_user(getattr(guarded, store), user))
    try:
        with pytest.raises((NoPermissionError, RedisError), match=r"permissions|WRONGPASS|invalid username"):
            await client.execute_command(*command)
    finally:
        await client.aclose()


@pytest.fixture
async def guarded(stores: object, shared_servers: StoreUrls) -> AsyncIterator[StoreUrls]:
    await set_users(shared_servers.state, STATE_USERS)
    await set_users(shared_servers.frames, FRAMES_USERS)
    yield shared_servers
    for url in (shared_servers.state, shared_servers.frames):
        client = connect(url)
        await client.execute_command("ACL", "DELUSER", *PASSWORDS)
        await client.aclose()
