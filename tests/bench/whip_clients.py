"""Real WHIP clients against the whole system: each pushes several times, and has to reach detections every time. Tables
how often it did, and how long it took from its start to its first committed frame.

    python tests/bench/whip_clients.py [--times 10] [--only chromium,gstreamer] [--ffmpeg PATH] [--json FILE]

Chromium, GStreamer (gstreamer1.0-nice, gir1.2-gst-plugins-bad-1.0) and Node come from the system; npm fetches its
libraries; ffmpeg has to have the whip muxer: `--ffmpeg`, imageio-ffmpeg where it is installed, or one on PATH.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.browser import browser, page_server
from support.certificates import localhost_certificate
from support.fleet import Fleet, fleet, until
from support.installed import CHROMIUM
from support.models import strips_model

from fishladder.runtime.store import Stores

CLIENTS = Path(__file__).parents[1] / "support" / "whip_clients"
LIBRARIES = ("werift", "node-datachannel", "@roamhq/wrtc")
FRAMES = 10
WITHIN_S = 45.0
X264 = (
    "-c:v",
    "libx264",
    "-profile:v",
    "baseline",
    "-preset",
    "ultrafast",
    "-tune",
    "zerolatency",
    "-g",
    "15",
    "-bf",
    "0",
)


@dataclass
class Client:
    """A way to push: a command in which URL and TOKEN stand for them, or a page's parameters."""

    name: str
    command: tuple[str, ...] = ()
    page: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    missing: str = ""


@asynccontextmanager
async def pushing(client: Client, url: str, token: str, log: Path) -> AsyncIterator[None]:
    if client.page:
        said: list[dict[str, str]] = []
        async with page_server(said) as port:
            query = {"endpoint": url, "token": token} | client.page
            camera = client.page.get("source") != "canvas"
            async with browser(f"http://127.0.0.1:{port}/?{urlencode(query)}", camera=camera):
                try:
                    yield
                finally:
                    _write(log, "\n".join(map(str, said)))
        return
    command = [part.replace("URL", url).replace("TOKEN", token) for part in client.command]
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=os.environ | client.environment
        )
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()


def _write(log: Path, text: str) -> None:
    log.write_text(text)


async def once(client: Client, system: Fleet, stores: Stores, token: str, camera: str, place: Path) -> float:
    """Seconds to the first committed frame. Raises AssertionError if detections are not reached."""
    began = time.monotonic()
    first = 0.0

    async def reached() -> bool:
        nonlocal first
        inferred = (await system.ledger(stores, camera)).group("inferred")
        first = first or (time.monotonic() - began if inferred else 0.0)
        return inferred >= FRAMES

    async with pushing(client, f"{system.url}/whip/{camera}", token, place / f"{camera.replace('/', '-')}.txt"):
        await until(reached, WITHIN_S, f"{client.name}: {FRAMES} frames are inferred")
    account = await system.account(stores, camera)
    assert any(account.frames().values()), "no detections"
    return first


def node_libraries(place: Path) -> str:
    """Fetch them; what is missing, if anything is."""
    if shutil.which("npm") is None:
        return "npm is not installed"
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(place), *LIBRARIES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"npm install failed: {done.stderr.strip()[-200:]}"


def ffmpeg_with_whip(told: str | None) -> str | None:
    """An ffmpeg that has the whip muxer."""
    found = [told] if told else [shutil.which("ffmpeg")]
    try:
        import imageio_ffmpeg

        found.insert(1, imageio_ffmpeg.get_ffmpeg_exe())
    except ImportError:
        pass
    for one in found:
        if one and " whip " in subprocess.run([one, "-hide_banner", "-muxers"], capture_output=True, text=True).stdout:
            return one
    return None


def clients(place: Path, ffmpeg: str | None) -> list[Client]:
    cert = localhost_certificate(place)
    no_browser = "" if CHROMIUM else "chromium is not installed"
    no_node = node_libraries(place / "node")
    modules = {"NODE_MODULES": str(place / "node" / "node_modules")}
    whip = ffmpeg_with_whip(ffmpeg)
    source = ("-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=15", *X264, "-f", "whip")
    probe = "import gi; gi.require_version('GstWebRTC', '1.0'); from gi.repository import GstWebRTC"
    gst = subprocess.run(["/usr/bin/python3", "-c", probe], capture_output=True, check=False)
    no_gst = "" if gst.returncode == 0 else "GStreamer's WebRTC bindings are not installed"
    made = [
        Client("chromium H.264", page={"codec": "H264"}, missing=no_browser),
        Client("chromium VP8", page={"codec": "VP8"}, missing=no_browser),
        Client("chromium as it likes", page={"codec": ""}, missing=no_browser),
        Client("chromium trickle", page={"codec": "VP8", "trickle": "1"}, missing=no_browser),
        Client("chromium simulcast", page={"codec": "VP8", "rids": "h,m,l"}, missing=no_browser),
        Client("chromium mDNS", page={"codec": "H264", "source": "canvas"}, missing=no_browser),
        Client("chromium mDNS trickle", page={"source": "canvas", "trickle": "1"}, missing=no_browser),
    ]
    for codec in ("H264", "VP8"):
        command = ("/usr/bin/python3", str(CLIENTS / "gst.py"), "URL", "TOKEN", codec)
        made.append(Client(f"gstreamer webrtcbin {codec}", command, missing=no_gst))
    own = (whip or "ffmpeg", "-hide_banner", "-loglevel", "warning", *source)
    no_whip = "" if whip else "no ffmpeg with the whip muxer"
    keyed = ("-cert_file", str(cert.cert), "-key_file", str(cert.key))
    made.append(Client("ffmpeg", (*own, "-authorization", "TOKEN", "URL"), missing=no_whip))
    made.append(Client("ffmpeg, P-256", (*own, *keyed, "-authorization", "TOKEN", "URL"), missing=no_whip))
    muxer = (sys.executable, str(CLIENTS / "pyav.py"), "URL", "TOKEN", str(cert.cert), str(cert.key))
    made.append(Client("PyAV's muxer, P-256", muxer))
    for script, name in (("werift", "werift"), ("datachannel", "node-datachannel"), ("wrtc", "@roamhq/wrtc")):
        command = ("node", str(CLIENTS / f"{script}.mjs"), "URL", "TOKEN")
        made.append(Client(f"node {name}", command, environment=modules, missing=no_node))
    command = ("node", str(CLIENTS / "obs.mjs"), "URL", "TOKEN")
    made.append(Client("libdatachannel as in OBS", command, environment=modules, missing=no_node))
    return made


async def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--times", type=int, default=10)
    options.add_argument("--only", default="", help="names, or parts of them, with commas between")
    options.add_argument("--ffmpeg", help="an ffmpeg that has the whip muxer")
    options.add_argument("--logs", type=Path, help="keep what the clients say in this folder")
    options.add_argument("--json", type=Path)
    told = options.parse_args()
    failed = 0
    report: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        said = told.logs or place / "said"
        said.mkdir(parents=True, exist_ok=True)
        wanted = [part for part in told.only.split(",") if part]
        chosen = [one for one in clients(place, told.ffmpeg) if not wanted or any(part in one.name for part in wanted)]
        model = strips_model(place / "strips.onnx")
        print(f"{'client':<28}{'reached':<10}{'first committed frame, s: median (least to most)':<50}")
        async with fleet(place) as (system, stores):
            await system.worker(model)
            token = await system.token("lab")
            for number, client in enumerate(chosen):
                if client.missing:
                    report[client.name] = {"missing": client.missing}
                    print(f"{client.name:<28}{'-':<10}{client.missing}", flush=True)
                    continue
                times: list[float] = []
                for turn in range(told.times):
                    try:
                        times.append(await once(client, system, stores, token, f"lab/c{number}-{turn}", said))
                    except AssertionError as error:
                        failed += 1
                        print(f"  {error}")
                report[client.name] = {"times": told.times, "first_frame_s": times}
                spread = f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})" if times else "-"
                print(f"{client.name:<28}{f'{len(times)}/{told.times}':<10}{spread}", flush=True)
    if told.json:
        told.json.write_text(json.dumps(report, indent=1) + "\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
