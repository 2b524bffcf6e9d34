"""The way to the gateway: TLS, proxies, and what is said when something or somebody is in it."""

import asyncio
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.certificates import localhost_certificate
from support.gateway_double import GatewayDouble, gateway_double, until
from support.proxy import connect_proxy

from fishladder.edge.agent import Agent
from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.clock import SystemClock
from fishladder.edge.config import CameraConfig, EdgeConfig
from fishladder.edge.gateway_address import GatewayAddress, address
from fishladder.edge.link_state import LinkState
from fishladder.edge.ring import Ring
from fishladder.edge.session import Session, State
from fishladder.edge.uplink_stream import StreamUplink
from fishladder.edge.websocket import connect
from fishladder.wire import messages
from fishladder.wire.errors import ConfigError, UplinkDown
from fishladder.wire.fates import Fate
from fishladder.wire.messages import MAX_CLEAN_POINTS
from fishladder.wire.unit import Codec, Flag


async def first_trouble(to: GatewayAddress) -> dict[str, object]:
    """What an uplink without cameras says when its first connection ends."""
    uplink = StreamUplink(to, [], SystemClock(), on_policy=lambda *_: None, on_keyframe=lambda _: None)
    with capture_logs() as logs:
        task = asyncio.create_task(uplink.run())
        await until(lambda: [it for it in logs if it["event"].startswith("uplink is down")])
        task.cancel()
    return next(dict(it) for it in logs if it["event"].startswith("uplink is down"))


def trusting(gateway: GatewayDouble, ca: Path | None, proxy: str = "none") -> GatewayAddress:
    return address(gateway.url, token="good", ca_file=ca, proxy=proxy)


async def test_units_go_through_tls_and_a_proxy_with_a_login(tmp_path: Path) -> None:
    made = localhost_certificate(tmp_path)
    async with gateway_double(made.server()) as gateway, connect_proxy("us:er%") as proxy:
        agent = Agent(
            EdgeConfig(
                gateway=gateway.url,
                site="shop",
                token="good",
                ca_file=str(made.cert),
                proxy=proxy.url("us:er%25"),
                cameras=(CameraConfig("c", "test:320x180@30"),),
            )
        )
        stopping = asyncio.Event()
        task = asyncio.create_task(agent.run(stopping))
        await until(lambda: gateway.log("shop/c").next > 20)
        stopping.set()
        assert await task
        port = gateway.url.rpartition(":")[2]
        assert proxy.requests == [f"CONNECT localhost:{port}"]
        assert proxy.carried_bytes > gateway.received_bytes
        assert gateway.log("shop/c").problems == []


async def test_a_certificate_nobody_vouches_for(tmp_path: Path) -> None:
    made = localhost_certificate(tmp_path)
    async with gateway_double(made.server()) as gateway:
        line = await first_trouble(trusting(gateway, None))
    assert "not trusted" in str(line["error"])
    assert "ca_file" in str(line["error"])


async def test_a_proxy_that_wants_another_login(tmp_path: Path) -> None:
    made = localhost_certificate(tmp_path)
    async with gateway_double(made.server()) as gateway, connect_proxy("u:right") as proxy:
        line = await first_trouble(trusting(gateway, made.cert, proxy.url("u:wrong")))
    assert "407" in str(line["error"])
    assert "wrong" not in str(line["error"])


async def test_a_proxy_that_is_not_there(tmp_path: Path) -> None:
    made = localhost_certificate(tmp_path)
    async with gateway_double(made.server()) as gateway:
        line = await first_trouble(trusting(gateway, made.cert, "http://127.0.0.1:1"))
    assert "proxy http://127.0.0.1:1 cannot be reached" in str(line["error"])


def wrong_token(gateway: GatewayDouble) -> None:
    gateway.token = "another"


def captive_portal(gateway: GatewayDouble) -> None:
    gateway.html = True


def newer_gateway(gateway: GatewayDouble) -> None:
    gateway.fault = messages.Fault("version", "the agent speaks 1 to 1, this gateway 2 to 3: upgrade the agent")


def strict_gateway(gateway: GatewayDouble) -> None:
    gateway.fault = messages.Fault("limit", "too many cameras")


@pytest.mark.parametrize(
    ("trouble", "said", "least_s"),
    [
        (wrong_token, "fishladder token create", 30),
        (captive_portal, "captive portal", 0),
        (newer_gateway, "upgrade the agent", 30),
        (strict_gateway, "too many cameras", 0),
    ],
)
async def test_each_refusal_is_one_clear_line(
    trouble: Callable[[GatewayDouble], None], said: str, least_s: float
) -> None:
    async with gateway_double() as gateway:
        trouble(gateway)
        line = await first_trouble(trusting(gateway, None))
        assert said in str(line["error"])
        assert gateway.url in str(line["error"])
        assert "\n" not in str(line["error"])
        assert isinstance(line["retry_s"], float)
        assert line["retry_s"] >= least_s


async def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    line = await first_trouble(address(f"http://127.0.0.1:{port}", token="x", env={}))
    assert "cannot be reached" in str(line["error"])


async def test_many_cameras_with_much_to_tell_are_all_welcomed() -> None:
    """A site of 300 after an outage: each camera names as many clean points as a hello may. Then all are fenced."""
    sessions = [Session(f"shop/{channel}", channel, Ring(1 << 30)) for channel in range(300)]
    for session in sessions:
        unit = CapturedUnit(Codec.H264, Flag.CLEAN, 64, 48, 1, 0, 0, b"x")
        session.append_range(10**9, Fate.SAMPLED_OUT, mono_us=0, wall_us=0)
        for _ in range(MAX_CLEAN_POINTS):
            session.append_unit(unit, wall_us=0, ready_us=0)
    async with gateway_double() as gateway:
        gateway.credit = 0
        to = address(gateway.url, token="good", env={})
        uplink = StreamUplink(to, sessions, SystemClock(), on_policy=lambda *_: None, on_keyframe=lambda _: None)
        task = asyncio.create_task(uplink.run())
        await until(lambda: all(session.state is State.OPEN for session in sessions))
        for session in sessions:
            await gateway.fence(session.camera)
        await until(lambda: sum(len(hello.cameras) for hello in gateway.hellos) == 2 * len(sessions))
        await until(lambda: all(session.state is State.OPEN for session in sessions))
        task.cancel()
        assert max(len(messages.encode(hello)) for hello in gateway.hellos) < messages.MAX_TEXT_BYTES
        assert [hello.hello for hello in gateway.hellos] == list(range(1, len(gateway.hellos) + 1))
        assert len(gateway.hellos) < 64  # more may not wait at a gateway


async def test_a_token_file_is_read_at_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    async with gateway_double() as gateway:
        to = address(gateway.url, token_file=file, env={})
        assert "(401)" in str((await first_trouble(to))["error"])
        file.write_text("good\n")
        uplink = StreamUplink(to, [], SystemClock(), on_policy=lambda *_: None, on_keyframe=lambda _: None)
        task = asyncio.create_task(uplink.run())
        await until(lambda: uplink.connected)
        task.cancel()


@pytest.mark.parametrize(
    ("env", "through"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ({"https_proxy": "p:3128"}, "http://p:3128"),
        ({"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "other,.example"}, None),
        ({"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "stack.example:8889"}, None),
        ({"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "example.org, ample"}, "http://p:3128"),
        ({"HTTPS_PROXY": "http://p:3128", "no_proxy": "*"}, None),
        ({"HTTP_PROXY": "http://p:3128"}, None),
    ],
)
def test_the_proxy_of_the_environment(env: dict[str, str], through: str | None) -> None:
    to = address("https://stack.example:8889", token="t", env=env)
    assert (str(to.proxy.url).rstrip("/") if to.proxy else None) == through


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("stack:8889", {}, "https://HOST:PORT"),
        ("https://", {}, "no host"),
        ("https://x/v1/uplink", {}, "nothing after it"),
        ("https://x", {"token": ""}, "fishladder token create"),
        ("https://x", {"proxy": "socks5://user:pass@p"}, "only http:// and https:// proxies"),
        ("http://x", {"proxy": "http://p"}, "only used for https://"),
        ("https://x:99999", {}, "Port out of range"),
    ],
)
def test_addresses_that_cannot_work_are_refused_at_once(url: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        address(url, **{"token": "t", "env": {}, **options})  # type: ignore[arg-type]
    assert "pass" not in str(error.value)


@pytest.mark.parametrize(
    "login",
    ["user:s3/cr3t", "user:s3#cr3t", "user:s3?cr3t", "user:12/s3cr3t", "user:12#s3cr3t", "user:s3@cr3t/", "s3://cr3t",
     "user:[s3cr3t", "user:s3\u2100cr3t"],
)  # fmt: skip
def test_no_login_of_a_malformed_address_is_shown(login: str) -> None:
    """A password that should have been percent-encoded is one still, wherever it makes a URL end."""
    for shown in ({"HTTPS_PROXY": f"http://{login}@proxy:3128"}, {"HTTPS_PROXY": f"{login}@proxy:3128"}):
        with pytest.raises(ConfigError, match=r"^proxy 'proxy:3128': ") as wrong:
            address("https://gw", token="t", env=shown)
        assert not re.search("s3|cr3t|12", str(wrong.value).replace("3128", ""))
    for url in (f"https://{login}@gw:8889", f"{login}@gw:8889"):
        with pytest.raises(ConfigError, match=r"^gateway 'gw:8889': ") as wrong:
            address(url, token="t", env={})
        assert not re.search("s3|cr3t|12", str(wrong.value))


async def test_a_connection_just_lost_is_asked_of_and_told_things_without_harm() -> None:
    """Whoever controls the rate does not know yet; the one that reads says so."""
    async with gateway_double() as gateway, connect(trusting(gateway, None)) as link:
        link._transport.abort()
        await until(lambda: link._socket.fileno() == -1)
        link.hold_back(4096)
        assert link.state() == LinkState()

        async def read() -> None:
            while True:
                await link.receive()

        with pytest.raises(UplinkDown):
            await read()
