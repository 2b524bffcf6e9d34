"""The gateway's WHIP receiver without stores: what `stock_whip.py` is compared with. The HTTP side is reduced to POST
and DELETE; the units a log would get, and the keyframes the publisher would ask for, are as in the gateway.

python tests/support/our_whip.py --port 8899
"""

import argparse
import asyncio
import contextlib
import json
import secrets
import sys
import time

from aiohttp import web

from fishladder.gateway.webrtc.addresses import MediaSettings
from fishladder.gateway.webrtc.assembler import Assembled
from fishladder.gateway.webrtc.peer import Peer
from fishladder.wire.bitstream import Access, inspect
from fishladder.wire.errors import WireError
from fishladder.wire.unit import MAX_UNIT_BYTES, Codec

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Allow-Methods": "POST, DELETE",
    "Access-Control-Expose-Headers": "Location, ETag",
}


class OurWhip:
    """`say`: a line for each unit on stdout, else their number, some times a second."""

    def __init__(self, *, say: bool) -> None:
        self.sessions: dict[str, Peer] = {}
        self.units = 0
        self._say = say

    async def post(self, request: web.Request) -> web.Response:
        camera, waiting = request.match_info["camera"], True

        def taken(codec: Codec, unit: Assembled) -> None:
            nonlocal waiting
            self.units += 1
            try:
                access = inspect(codec, unit.data)
            except WireError:
                access = Access()
            waiting = (waiting or unit.after_loss) and not access.clean
            if waiting:
                peer.want_keyframe()
            if self._say:
                said = [camera, len(unit.data), unit.timestamp, time.time(), access.idr]
                print(json.dumps(said), flush=True)

        peer = Peer(await request.text(), taken, MAX_UNIT_BYTES)
        await peer.listen(MediaSettings())
        answer = peer.answer()
        name = secrets.token_urlsafe(16)
        self.sessions[name] = peer
        headers = {"Location": f"{request.path}/{name}", "ETag": '"1"'}
        return web.Response(status=201, text=answer, content_type="application/sdp", headers=_CORS | headers)

    async def options(self, _: web.Request) -> web.Response:
        return web.Response(headers=_CORS)

    async def delete(self, request: web.Request) -> web.Response:
        peer = self.sessions.pop(request.match_info["session"])
        print(json.dumps({"counts": peer.counts._asdict()}), file=sys.stderr, flush=True)
        await peer.close()
        return web.Response(headers=_CORS)


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--units", action="store_true", help="say a line for each unit")
    told = options.parse_args()
    server = OurWhip(say=told.units)
    app = web.Application()
    path = "/whip/{site}/{camera}"
    app.router.add_post(path, server.post)
    app.router.add_route("OPTIONS", path, server.options)
    app.router.add_delete(path + "/{session}", server.delete)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", told.port).start()
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    while True:
        await asyncio.sleep(0.2)
        if not told.units:
            print(server.units, flush=True)


if __name__ == "__main__":
    import uvloop

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main())
