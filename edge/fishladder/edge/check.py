"""`fishladder edge check`: try each camera, the encoder and the way to the gateway, once, and say in a line each what
works, what does not, and why.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

import aiohttp

from fishladder.edge.capture import CaptureSettings
from fishladder.edge.capture_records import CapturedUnit, Left, Opened, Record, Sampled
from fishladder.edge.check_state import Finding, check_limits, check_spool
from fishladder.edge.child import Child
from fishladder.edge.clock import OffsetEstimator, SystemClock
from fishladder.edge.config import CameraConfig, EdgeConfig
from fishladder.edge.encode import USUAL_FPS, scaled
from fishladder.edge.gateway_address import GatewayAddress, answered, explain
from fishladder.edge.rate.profile import Profile
from fishladder.edge.redirects import guarded
from fishladder.edge.snapshot import save
from fishladder.edge.spool.settings import token_place
from fishladder.edge.stream_health import judge, span_s
from fishladder.edge.token import TokenKeeper
from fishladder.edge.websocket import WebSocket, connect
from fishladder.runtime.encoders import best_h264, works
from fishladder.wire import messages
from fishladder.wire.errors import FishladderError, UplinkError
from fishladder.wire.unit import Flag

#: How long to watch a camera that delivers, to see its keyframes come.
WATCH_S = 12.0
#: Of so many keyframes two intervals are seen, which says whether they are alike.
_KEYFRAMES = 3
#: A clock further off than this is worth a word, though nothing depends on it.
_CLOCK_OFF_S = 2.0
_ANSWER_S = 10.0
_PROBES = 5


async def check(
    config: EdgeConfig, pictures: Path | None = None, service: Path | None = None
) -> AsyncIterator[Finding]:
    """Findings as they come: cameras first, all at once, then the encoder and the gateway. A picture of each camera is
    saved in `pictures`. `service` is the state directory of another user's agent, which is looked at only.
    """
    looks = [
        asyncio.create_task(
            check_camera(camera.name, config.capture(camera), pictures, profile=config.profile_of(camera))
        )
        for camera in config.cameras
    ]
    encodes = False
    try:
        for look in looks:
            found, encoded = await look
            encodes |= encoded
            for finding in found:
                yield finding
    finally:
        for look in looks:
            look.cancel()
    if encodes:
        yield await asyncio.to_thread(_check_encoder, config)
    if not all(config.reaches(camera) for camera in config.cameras):
        yield Finding("gateway", "ok", "not given, not tried")
    if config.uplink == "stream" and config.gateway:
        env = os.environ if service is None else {**os.environ, "STATE_DIRECTORY": str(service)}
        tokens = token_place(config.spool, config.site or "site", config.gateway, env)
        async for finding in check_stream(TokenKeeper(config.address, tokens).address()):
            yield finding
        yield check_spool(config, env, look=service is not None)
        for finding in check_limits(config, env, look=service is not None):
            yield finding
    elif config.uplink == "whip":
        for camera in filter(config.reaches, config.cameras):
            yield await _check_whip(config, camera)


async def check_camera(
    name: str, settings: CaptureSettings, pictures_in: Path | None = None, *, profile: Profile | None = None
) -> tuple[list[Finding], bool]:
    """Open a camera and watch it until some keyframes have come, or for `WATCH_S`. Also says whether it is encoded."""
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
                if sum(bool(unit.flags & Flag.CLEAN) for unit in units) >= _KEYFRAMES:
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
        why = child.error or f"nothing came within {settings.camera.timeout_s + WATCH_S:g} s"
        return [Finding(what, "FAIL", why)], False
    about = opened[0]
    size = f"{about.codec} {about.width}x{about.height}"
    if not units:
        why = child.error or "it ended at once"
        return [Finding(what, "FAIL", f"{size}: it opens, but no picture came: {why}")], False
    health = judge(units, passthrough=about.mode == "passthrough")
    found = [
        Finding(
            what,
            "ok",
            f"{size}, {_rate(units, pictures)}, {about.mode}, {health.keyframes}, {health.kbps:.0f} kbit/s, "
            f"first picture after {first_s[0]:.1f} s",
        )
    ]
    found += [Finding(what, "warn", warning) for warning in health.warnings]
    if profile is not None:
        found.append(Finding(what, "ok", f"its profile, {_promise(profile, settings, about)}"))
    if pictures_in is not None:
        found.append(await asyncio.to_thread(_picture, what, units, pictures_in / f"{name}.jpg"))
    return found, about.mode == "encode" or "transcode" in settings.steps


def _promise(profile: Profile, settings: CaptureSettings, about: Opened) -> str:
    """What a profile will do on thin links."""
    if about.mode == "passthrough" and "transcode" not in settings.steps:
        return f"{profile.name}, is of no use: its own stream is passed on"
    fps = min(it for it in (settings.fps, about.fps or USUAL_FPS) if it)
    return profile.words(*scaled(about.width, about.height, settings.encoder.width), fps)


def _picture(what: str, units: list[CapturedUnit], file: Path) -> Finding:
    problem = save(units, file)
    return Finding(what, "FAIL" if problem else "ok", f"no picture: {problem}" if problem else f"its picture is {file}")


def _check_encoder(config: EdgeConfig) -> Finding:
    """Which encoder this host has, proven by use."""
    wanted = config.encoder
    if wanted == "auto":
        found = best_h264()
        return Finding("encoder", "ok", found or "x264 on the CPU (no hardware encoder works here)")
    if wanted == "x264" or works(wanted, at_once=True):
        return Finding("encoder", "ok", wanted)
    return Finding("encoder", "warn", f"{wanted} does not work here: x264 on the CPU takes its place")


def _rate(units: list[CapturedUnit], pictures: int) -> str:
    span_us = round(span_s(units) * 1e6)
    return f"{(pictures - 1) * 1e6 / span_us:.1f} fps" if span_us and pictures > 1 else "one picture"


async def check_stream(to: GatewayAddress) -> AsyncIterator[Finding]:
    """The way to a gateway: its name, whether it lets us in, how far its clock is; ends with what fails."""
    resolved = await _resolve(to)
    yield resolved
    if resolved.level == "FAIL":
        return
    try:
        async with asyncio.timeout(_ANSWER_S * 3), connect(to) as link:
            yield Finding("gateway", "ok", f"{to.url} lets us in{' through the proxy' if to.proxy else ''}")
            yield await _talk(to, link)
    except TimeoutError:
        yield Finding("gateway", "FAIL", f"{to.url} did not answer in time")
    except FishladderError as error:
        yield Finding("gateway", "FAIL", str(error))


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
    return _clock(ahead_s, (offset.rtt_us or 0) / 1000)


def _clock(ahead_s: float, rtt_ms: float) -> Finding:
    side = "ahead of" if ahead_s > 0 else "behind"
    about = f"this host is {abs(ahead_s):.3f} s {side} the gateway (which is corrected for)"
    if abs(ahead_s) > _CLOCK_OFF_S:
        about += "; tokens and certificates go by it all the same: run an NTP client on the one that is wrong"
    return Finding("clock", "warn" if abs(ahead_s) > _CLOCK_OFF_S else "ok", f"{about}; round trip {rtt_ms:.1f} ms")


async def _resolve(to: GatewayAddress) -> Finding:
    """Whether the name of whom we connect to is known here: the proxy's, if there is one."""
    url = str(to.proxy.url) if to.proxy else to.url
    parts = urlsplit(url)
    what = "proxy" if to.proxy else "gateway"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 443)
    except OSError as error:
        return Finding(what, "FAIL", f"the name {parts.hostname} cannot be resolved: {error.strerror}")
    return Finding(what, "ok", f"{parts.hostname} is {found[0][4][0]}")


async def _check_whip(config: EdgeConfig, camera: CameraConfig) -> Finding:
    """An endpoint must at least be there and take the token; whether media comes through only a session shows."""
    to, url = config.whip(camera)
    what = f"whip {camera.name}"
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=to.tls() if url.startswith("https") else True),
                timeout=aiohttp.ClientTimeout(total=_ANSWER_S),
                trace_configs=[guarded(to, follow=True)],
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
        return Finding(what, "FAIL", str(explain(error, to)))
    return Finding(what, "ok", f"{to.url} answers")
