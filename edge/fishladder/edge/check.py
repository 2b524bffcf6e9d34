"""`fishladder edge check`: try each camera and the way to the gateway, once, and say in a line each what works, what
does not, and why.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from secrets import token_hex
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp

from fishladder.edge.capture import CaptureSettings
from fishladder.edge.capture_records import CapturedUnit, Left, Opened, Record, Sampled
from fishladder.edge.child import Child
from fishladder.edge.clock import OffsetEstimator, SystemClock
from fishladder.edge.config import CameraConfig, EdgeConfig
from fishladder.edge.gateway_address import GatewayAddress, answered, explain
from fishladder.edge.websocket import WebSocket, connect
from fishladder.wire import messages
from fishladder.wire.errors import FishladderError, UplinkError
from fishladder.wire.unit import Flag

#: How long to watch a camera that delivers, to see its keyframes come.
WATCH_S = 6.0
_ANSWER_S = 10.0
_PROBES = 5


class Finding(NamedTuple):
    """`what` was tried, whether it `works`, and a sentence."""

    what: str
    works: bool
    detail: str


async def check(config: EdgeConfig) -> AsyncIterator[Finding]:
    """Findings as they come: cameras first, all at once, then the gateway."""
    looks = [asyncio.create_task(check_camera(camera.name, config.capture(camera))) for camera in config.cameras]
    try:
        for look in looks:
            yield await look
    finally:
        for look in looks:
            look.cancel()
    if not all(config.reaches(camera) for camera in config.cameras):
        yield Finding("gateway", True, "not given, not tried")
    if config.uplink == "stream" and config.gateway:
        async for finding in _check_stream(config.address):
            yield finding
    elif config.uplink == "whip":
        for camera in filter(config.reaches, config.cameras):
            yield await _check_whip(config, camera)


async def check_camera(name: str, settings: CaptureSettings) -> Finding:
    """Open a camera and watch it until two keyframes have come, or for `WATCH_S`."""
    began_s = time.monotonic()
    opened: list[Opened] = []
    units: list[CapturedUnit] = []
    first_s: list[float] = []
    pictures = 0
    seen = asyncio.Event()

    def on_record(record: Record) -> None:
        nonlocal pictures
        match record:
            case Opened():
                opened.append(record)
            case Sampled():
                pictures += record.count
            case Left():
                pictures += 1
            case CapturedUnit():
                pictures += 1
                units.append(record)
                first_s[:] = first_s or [time.monotonic() - began_s]
                if sum(bool(unit.flags & Flag.CLEAN) for unit in units) >= 2:
                    seen.set()

    child = Child(name, settings, on_record, lambda: None, once=True)
    running = asyncio.create_task(child.run())
    watching = asyncio.create_task(seen.wait())
    try:
        await asyncio.wait(
            {running, watching}, timeout=settings.camera.timeout_s + WATCH_S, return_when="FIRST_COMPLETED"
        )
        child.stop()
        await running
    finally:
        watching.cancel()
        running.cancel()
    what = f"camera {name}"
    if not opened:
        return Finding(what, False, child.error or f"nothing came within {settings.camera.timeout_s + WATCH_S:g} s")
    about = opened[0]
    size = f"{about.codec} {about.width}x{about.height}"
    if not units:
        return Finding(what, False, f"{size}: it opens, but no picture came: {child.error or 'it ended at once'}")
    return Finding(
        what,
        True,
        f"{size}, {_rate(units, pictures)}, {about.mode}, {_keyframes(units)}, "
        + (f"first picture after {first_s[0]:.1f} s"),
    )


def _rate(units: list[CapturedUnit], pictures: int) -> str:
    span_us = units[-1].mono_us - units[0].mono_us
    return f"{(pictures - 1) * 1e6 / span_us:.1f} fps" if span_us and pictures > 1 else "one picture"


def _keyframes(units: list[CapturedUnit]) -> str:
    clean = [unit.pts_us for unit in units if unit.flags & Flag.CLEAN]
    if len(clean) >= 2:
        return f"a keyframe every {(clean[-1] - clean[0]) / (len(clean) - 1) / 1e6:.1f} s"
    return "one keyframe" if clean else "no keyframe seen: results would begin late"


async def _check_stream(to: GatewayAddress) -> AsyncIterator[Finding]:
    resolved = await _resolve(to)
    yield resolved
    if not resolved.works:
        return
    try:
        async with asyncio.timeout(_ANSWER_S * 3), connect(to) as link:
            yield Finding("gateway", True, f"{to.url} lets us in{' through the proxy' if to.proxy else ''}")
            yield await _talk(to, link)
    except TimeoutError:
        yield Finding("gateway", False, f"{to.url} did not answer in time")
    except FishladderError as error:
        yield Finding("gateway", False, str(error))


async def _talk(to: GatewayAddress, link: WebSocket) -> Finding:
    """A hello without cameras, and a few probes of the gateway's clock."""
    clock, offset = SystemClock(), OffsetEstimator()
    hello = messages.Hello(versions=messages.VERSIONS, boot=token_hex(16), hello=1, agent="check")
    await link.send(messages.encode(hello))
    await link.send(messages.encode(messages.Probe(clock.mono_us())))
    welcomed, answers = False, 0
    while not (welcomed and answers >= _PROBES):
        match messages.from_gateway(await link.receive()):
            case messages.Welcome():
                welcomed = True
            case messages.Fault() as fault:
                raise UplinkError(f"gateway {to.url} found a fault ({fault.code}): {fault.message}")
            case messages.Probed() as probed:
                answers += 1
                offset.answered(
                    sent_us=probed.sent_us,
                    received_us=probed.received_us,
                    replied_us=probed.replied_us,
                    now_us=clock.mono_us(),
                )
                if answers < _PROBES:
                    await link.send(messages.encode(messages.Probe(clock.mono_us())))
    assert offset.offset_us is not None
    ahead_s = (clock.wall_us() - clock.mono_us() - offset.offset_us) / 1e6
    side = "ahead of" if ahead_s > 0 else "behind"
    return Finding(
        "clock",
        True,
        f"this host is {abs(ahead_s):.3f} s {side} the gateway (which is corrected for); "
        f"round trip {(offset.rtt_us or 0) / 1000:.1f} ms",
    )


async def _resolve(to: GatewayAddress) -> Finding:
    """Whether the name of whom we connect to is known here: the proxy's, if there is one."""
    url = str(to.proxy.url) if to.proxy else to.url
    parts = urlsplit(url)
    what = "proxy" if to.proxy else "gateway"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 443)
    except OSError as error:
        return Finding(what, False, f"the name {parts.hostname} cannot be resolved: {error.strerror}")
    return Finding(what, True, f"{parts.hostname} is {found[0][4][0]}")


async def _check_whip(config: EdgeConfig, camera: CameraConfig) -> Finding:
    """An endpoint must at least be there and take the token; whether media comes through only a session shows."""
    to, url = config.whip(camera)
    what = f"whip {camera.name}"
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=to.tls() if url.startswith("https") else True),
                timeout=aiohttp.ClientTimeout(total=_ANSWER_S),
                headers=to.headers(),
            ) as http,
            http.options(
                url,
                proxy=to.proxy.url if to.proxy else None,
                proxy_headers=to.proxy.headers if to.proxy else None,
            ) as response,
        ):
            if response.status >= 400 and response.status != 405:  # 405: there, but not for OPTIONS
                raise answered(response.status, response.content_type, to)
    except (aiohttp.ClientError, TimeoutError, OSError, FishladderError) as error:
        return Finding(what, False, str(explain(error, to)))
    return Finding(what, True, f"{to.url} answers")
