"""Chromium over bad uplinks, into our receiver and into stock aiortc with units taken out: what each of them makes of
loss, reordering and a thin link. Frames are counted where they enter the link, so none is forgotten.

python tests/bench/whip_links.py [--seconds 30] [--rounds 1] [--only "1 Mbit,free"] [--most KBPS] [--json FILE]

A frame is decodable if it and all since the last keyframe came whole; frozen is the time by which gaps between
decodable frames exceed 0.3 s; latency is from a frame's first packet at the link to the whole unit.
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).parents[1]))

import aiohttp
from support.browser import browser, page_server
from support.link_relay import Link, Relay, relayed

LINKS = (
    Link("2% loss", rtt_s=0.06, loss=0.02),
    Link("5% loss", rtt_s=0.06, loss=0.05),
    Link("3% reordered", rtt_s=0.06, late=0.03),
    Link("1 Mbit/s", rtt_s=0.06, rate_bps=1_000_000),
    Link("free", rtt_s=0.02),
)
SERVERS = ("our_whip.py", "stock_whip.py")
SUPPORT = Path(__file__).parents[1] / "support"
FROZEN_S = 0.3
WARM_UP_S = 5.0
#: Of the packets at a thin link's queue, after the warm-up.
MOST_DROPPED = 0.05
#: What a browser makes of a free link within 20 s.
LEAST_FREE_BPS, FREE_SIZE = 2_000_000, (1280, 720)
#: By how much ours may look worse than stock aiortc before it counts: what a sender does differs from run to run.
_DECODABLE, _FROZEN_S, _P95_S = 0.01, 0.5, 0.01


@dataclass
class Came:
    timestamp: int
    at: float
    key: bool


@asynccontextmanager
async def server(script: str, came: list[Came]) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SUPPORT / script), "--units", stdout=asyncio.subprocess.PIPE, limit=2**20
    )
    assert process.stdout is not None
    url = json.loads(await process.stdout.readline())["url"]

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            _, _, timestamp, at, key = json.loads(line)
            came.append(Came(timestamp, at, key))

    reading = asyncio.create_task(read())
    try:
        yield f"{url}/whip/lab/browser"
    finally:
        process.terminate()
        await process.wait()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def run(script: str, link: Link, page: dict[str, str], seconds: float) -> dict[str, Any]:
    came: list[Came] = []
    said: list[dict[str, str]] = []
    async with server(script, came) as url, relayed(link, url) as (relay, near), page_server(said) as port:
        query = {"endpoint": near, "token": "", "stats": "1"} | page
        async with browser(f"http://127.0.0.1:{port}/?{urlencode(query)}"):
            for _ in range(300):
                if relay.uplink.frames:
                    break
                await asyncio.sleep(0.1)
            assert relay.uplink.frames, f"{script} over {link.name}: nothing came; the page said {said}"
            await asyncio.sleep(seconds)
        if relay.session:
            async with aiohttp.ClientSession() as http:
                await http.delete(url.split("/whip/")[0] + relay.session)
    stats = [json.loads(one["detail"]) for one in said if one["what"] == "stats"]
    return judged(relay, came, stats, first_as_zero=script.startswith("stock"))


def judged(relay: Relay, came: list[Came], stats: list[dict[str, Any]], *, first_as_zero: bool) -> dict[str, Any]:
    """The figures of one run. Stock aiortc counts timestamps from its first frame's: `first_as_zero`."""
    uplink = relay.uplink
    sent = sorted(uplink.frames.items(), key=lambda frame: frame[1])
    began, last = sent[0][1], sent[-1][1]
    origin = _origin(sent, came) if first_as_zero else 0
    got = {one.timestamp + origin & 0xFFFFFFFF: one for one in came}
    ok, at, latencies = False, [], []
    decodable = counted = 0
    for timestamp, entered in sent:
        if entered > last - 1:
            break
        counted += 1
        one = got.get(timestamp)
        ok = one is not None and (one.key or ok)
        if ok and one is not None:
            decodable += 1
            at.append(one.at)
            latencies.append(one.at - entered)
    gaps = [later - earlier for earlier, later in pairwise(at)]
    settled = [packet for packet in uplink.packets if packet[0] > began + WARM_UP_S]
    dropped = sum(fate == "queue" for *_, fate in settled) / max(len(settled), 1)
    late = stats[len(stats) // 2 :]
    sizes = [(one.get("frameWidth") or 0, one.get("frameHeight") or 0) for one in late]
    sent_bps = sum(size for when, size, _ in settled) * 8 / max(last - began - WARM_UP_S, 1)
    return {
        "frozen": sum(gap - FROZEN_S for gap in gaps if gap > FROZEN_S),
        "p95": statistics.quantiles(latencies, n=20)[18] if len(latencies) > 20 else float("nan"),
        "decodable": decodable / max(counted, 1),
        "queue": dropped,
        "target": statistics.median(one.get("targetBitrate") or 0 for one in late) if late else 0,
        "sent": sent_bps,
        "size": max(sizes, default=(0, 0)),
        "twenty": max((one.get("targetBitrate") or 0 for one in stats[:20]), default=0),
    }


def _origin(sent: list[tuple[int, float]], came: list[Came]) -> int:
    """The timestamp that makes most of what came match what was sent."""
    stamps = {timestamp for timestamp, _ in sent}
    if not came:
        return 0
    scores = {origin: sum((one.timestamp + origin & 0xFFFFFFFF) in stamps for one in came) for origin, _ in sent[:100]}
    return max(scores, key=lambda origin: scores[origin])


def middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure of several runs; of what is no number, the most usual."""
    return {
        name: statistics.median(one[name] for one in runs)
        if isinstance(value, float | int)
        else statistics.mode(one[name] for one in runs)
        for name, value in runs[0].items()
    }


def wrong(link: Link, ours: dict[str, Any], stock: dict[str, Any]) -> list[str]:
    """What of ours is worse than stock aiortc, or than it has to be."""
    found = []
    if ours["decodable"] < stock["decodable"] - _DECODABLE:
        found.append("fewer decodable")
    if ours["frozen"] > stock["frozen"] + _FROZEN_S:
        found.append("longer frozen")
    if ours["p95"] > stock["p95"] + _P95_S:
        found.append("later")
    if link.rate_bps is not None and ours["queue"] > MOST_DROPPED:
        found.append(f"more than {MOST_DROPPED:.0%} dropped at the queue")
    free = link.rate_bps is None and not link.loss and not link.late
    if free and (ours["twenty"] < LEAST_FREE_BPS or ours["size"] < FREE_SIZE):
        found.append(f"less than {LEAST_FREE_BPS / 1e6:g} Mbit/s at full size")
    return [f"{link.name}: {one}" for one in found]


HEADS = ("link", "receiver", "frozen s", "p95 ms", "decodable", "queue drops", "target kbit/s", "sent kbit/s", "size")


def row(link: Link, script: str, it: dict[str, Any]) -> str:
    cells = [link.name, script.partition("_")[0], f"{it['frozen']:.1f}", f"{it['p95'] * 1000:.0f}"]
    cells += [f"{it['decodable']:.3f}", f"{it['queue']:.3f}", f"{it['target'] / 1000:.0f}", f"{it['sent'] / 1000:.0f}"]
    return "".join(f"{cell:<15}" for cell in [*cells, "x".join(map(str, it["size"]))])


async def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=30)
    options.add_argument("--rounds", type=int, default=1, help="runs of each, in turns, whose medians are told")
    options.add_argument("--codec", default="H264", choices=["VP8", "H264"])
    options.add_argument("--only", default="", help="names of links, or parts of them, with commas between")
    options.add_argument("--size", default="1280x720x15", help="width x height x pictures a second of the source")
    options.add_argument("--most", type=int, help="kbit/s the browser may send, so that both have pictures as large")
    options.add_argument("--json", type=Path)
    told = options.parse_args()
    width, height, rate = told.size.split("x")
    page = {"codec": told.codec, "source": "noise", "width": width, "height": height, "rate": rate}
    if told.most:
        page["most"] = str(told.most)
    wanted = [part for part in told.only.split(",") if part]
    print("".join(f"{head:<15}" for head in HEADS))
    report: dict[str, Any] = {}
    bad: list[str] = []
    for link in LINKS:
        if wanted and not any(part in link.name for part in wanted):
            continue
        runs: dict[str, list[dict[str, Any]]] = {script: [] for script in SERVERS}
        for _ in range(told.rounds):
            for script, done in runs.items():
                done.append(await run(script, link, page, told.seconds))
        ours, stock = figures = [middle(done) for done in runs.values()]
        for script, it in zip(SERVERS, figures, strict=True):
            print(row(link, script, it), flush=True)
        bad += wrong(link, ours, stock)
        if link.name == "free":
            print(f"best target within 20 s: ours {ours['twenty'] / 1e6:.2f} Mbit/s, stock {stock['twenty'] / 1e6:.2f}")
        report[link.name] = {"ours": runs[SERVERS[0]], "stock aiortc": runs[SERVERS[1]]}
    print(f"not as it should be: {', '.join(bad)}" if bad else "nowhere worse, and within the bounds")
    if told.json:
        told.json.write_text(json.dumps(report, indent=1) + "\n")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
