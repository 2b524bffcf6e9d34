"""What the gateway is measured against: aiohttp WebSocket with TLS, redis-py and an acknowledgement, as one would write
it in an afternoon. `await` awaits an XADD for each message on stock asyncio; `pipeline` gathers 5 ms of them on uvloop.

    python tests/bench/gateway_plain.py await|pipeline PORT CERT KEY REDIS_URL
"""

import asyncio
import contextlib
import json
import ssl
import sys

import uvloop
from aiohttp import WSMsgType, web
from redis.asyncio import Redis

MAX_MESSAGE_BYTES = 256 * 1024


class Plain:
    def __init__(self, redis: Redis, *, gather: bool) -> None:
        self.redis = redis
        self.gather = gather
        self.waiting: list[tuple[web.WebSocketResponse, int, bytes]] = []

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE_BYTES, compress=False)
        await socket.prepare(request)
        logged: dict[int, int] = {}
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                continue
            channel = int.from_bytes(message.data[2:4], "big")
            if self.gather:
                self.waiting.append((socket, channel, message.data))
                continue
            await self.redis.xadd(f"log:{request.query['name']}:{channel}", {"u": message.data[8:]})
            logged[channel] = logged.get(channel, 0) + 1
            with contextlib.suppress(ConnectionError):
                await socket.send_str(json.dumps({"type": "ack", "cameras": [[channel, logged[channel], 0]]}))
        return socket

    async def flush(self) -> None:
        logged: dict[tuple[web.WebSocketResponse, int], int] = {}
        while True:
            await asyncio.sleep(0.005)
            waiting, self.waiting = self.waiting, []
            if not waiting:
                continue
            pipe = self.redis.pipeline(transaction=False)
            for socket, channel, data in waiting:
                pipe.xadd(f"log:{id(socket)}:{channel}", {"u": data[8:]})
            await pipe.execute()
            for socket, channel, _ in waiting:
                logged[socket, channel] = logged.get((socket, channel), 0) + 1
                ack = {"type": "ack", "cameras": [[channel, logged[socket, channel], 0]]}
                with contextlib.suppress(ConnectionError):
                    await socket.send_str(json.dumps(ack))


async def main(how: str, port: str, cert: str, key: str, url: str) -> None:
    plain = Plain(Redis.from_url(url), gather=how == "pipeline")
    app = web.Application()
    app.router.add_get("/v1/uplink", plain.serve)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(port), ssl_context=context).start()
    await (plain.flush() if plain.gather else asyncio.Event().wait())


if __name__ == "__main__":
    (uvloop.run if sys.argv[1] == "pipeline" else asyncio.run)(main(*sys.argv[1:]))
