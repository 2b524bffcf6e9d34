"""A token near its end is renewed over the uplink, for agents that can keep it, until somebody takes it back."""

import asyncio
import time
from pathlib import Path

import msgspec
from support.agent_client import agent
from support.gateways import gateway
from support.stores import wait_until

from fishladder.edge.clock import SystemClock
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
