"""A real HTTP server that takes results, and can be stopped, started again on its port, or made to refuse."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from support.fleet import free_port


class Receiver:
    """An HTTP server on a port of its own; `status` is what it answers."""

    def __init__(self) -> None:
        self.port = free_port()
        self.status = 200
        self.got: list[tuple[str, int]] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append((dict(request.headers), body))
        if self.status == 200:
            self.got += [(it["camera"], it["last"]) for it in json.loads(body)["results"]]
        return web.Response(status=self.status)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    it = Receiver()
    await it.start()
    try:
        yield it
    finally:
        await it.stop()
