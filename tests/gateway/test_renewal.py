"""A token near its end is renewed over the uplink, for agents that can keep it, until somebody takes it back."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from support.agent_client import agent
from support.gateways import gateway
from support.stores import wait_until

from fishladder.edge.agent import Agent
from fishladder.edge.clock import SystemClock
from fishladder.edge.config import CameraConfig, EdgeConfig
from fishladder.edge.gateway_address import GatewayAddress
from fishladder.edge.uplink_stream import StreamUplink
from fishladder.gateway.tokens import KeyFile, verify
from fishladder.runtime.store import Stores
from fishladder.wire.messages import Hello, Token, Welcome, encode


async def test_only_who_can_keep_it_and_needs_it_is_sent_a_new_token(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        old = it.token("shop-7", lifetime_s=9000, now=time.time() - 7000)
        keys = KeyFile(it.settings.keys_path)
        hello = Hello((1, 1), "boot-1", 1, renews=True)
        async with (
            agent(it.url, old) as due,
            agent(it.url, old) as cannot,
            agent(it.url, it.token("shop-7")) as fresh,
        ):
            await cannot.socket.send_str(encode(msgspec.structs.replace(hello, renews=False)))
            await fresh.socket.send_str(encode(hello))
            await due.socket.send_str(encode(hello))
            renewed = verify(keys, (await due.hear(Token)).token)
            assert renewed.id == verify(keys, old).id
            assert renewed.expires is not None
            assert renewed.expires > time.time() + 8900
            await wait_until(lambda: cannot.all(Welcome) and fresh.all(Welcome))
            assert not cannot.all(Token) + fresh.all(Token)


async def test_our_agent_keeps_what_it_is_sent(stores: Stores, tmp_path: Path) -> None:
    file = tmp_path / "token"
    async with gateway(tmp_path, stores.urls) as it:
        old = it.token("shop-7", lifetime_s=9000, now=time.time() - 7000)
        file.write_text(old)
        file.chmod(0o600)
        uplink = StreamUplink(
            GatewayAddress(it.url, token_file=file),
            [],
            SystemClock(),
            on_policy=lambda *_: None,
            on_keyframe=lambda _: None,
        )
        running = asyncio.create_task(uplink.run())
        try:
            await wait_until(lambda: file.read_text() not in ("", old), 15)
            assert verify(KeyFile(it.settings.keys_path), file.read_text().strip()).site == "shop-7"
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_an_agent_whose_token_file_cannot_be_written_comes_back_with_the_renewed_token(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under systemd, with a credential and a state directory: after a rotation and --drop the credential is worth
    nothing, and the agent is started anew.
    """
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "lib"))
    file = tmp_path / "token"
    async with gateway(tmp_path, stores.urls) as it:
        keys = KeyFile(it.settings.keys_path)
        old = it.token("shop-7")
        [first], backup = keys.keys(), it.settings.keys_path.read_bytes()
        keys.rotate()
        file.write_text(old)
        file.chmod(0o600)
        with file.open() as held:
            settings = EdgeConfig(
                gateway=it.url,
                site="shop-7",
                token_file=f"/proc/self/fd/{held.fileno()}",
                cameras=(CameraConfig("door", "test:128x64@5"),),
                proxy="none",
            )
            async with running(settings):
                await wait_until(lambda: [*(tmp_path / "lib").glob("token-*")], 15)
            keys.drop(first)
            async with running(settings) as agent_again:
                await wait_until(lambda: agent_again.uplink.connected, 15)
            it.settings.keys_path.write_bytes(backup)  # restored from before: now only the credential is known
            async with running(settings) as after_restore:
                await wait_until(lambda: after_restore.uplink.connected, 15)
        assert file.read_text() == old


@asynccontextmanager
async def running(settings: EdgeConfig) -> AsyncIterator[Agent]:
    it, stopping = Agent(settings), asyncio.Event()
    task = asyncio.create_task(it.run(stopping))
    try:
        yield it
    finally:
        task.cancel()
        await asyncio.wait([task])
