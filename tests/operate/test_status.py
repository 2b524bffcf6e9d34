"""`fishladder status`: the same as the live page, in a terminal, for people and for scripts."""

import json
import time

import msgspec
import pytest
from support.commands import fishladder

from fishladder.runtime import state
from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.ids import partition_of
from fishladder.wire.messages import SenderStatus, UplinkStatus
from fishladder.wire.reports import Flow, Heartbeat, SinkReport, UplinkReport, encode

S = 1_000_000


async def camera(stores: Stores, name: str, *, heard_s: float, pending: int = 0) -> None:
    """A camera that was heard of so long ago."""
    now_us = time.time_ns() // 1000
    heard_us = now_us - int(heard_s * S)
    p = partition_of(name, stores.partitions)
    await state.claim(stores.state, p, name, boot="b", hello=1, epoch=0, position=pending, now_us=heard_us)
    sender = SenderStatus("encode", "open", 200_000, 600_000, 5.0, 5.0, 640, 640)
    flow = Flow(fps=5.0, bps=340_000, moved_us=heard_us, codec="h264", width=640, height=480, sender=sender)
    await stores.state.hset(keys.camera(p, name), "flow", msgspec.json.encode(flow))


async def site_with_a_spool(stores: Stores, site: str, away_s: float) -> None:
    status = UplinkStatus(rtt_us=41_000, sent_bps=800_000, spool_bytes=0, spool_limit_bytes=3_600_000_000)
    report = UplinkReport(time.time_ns() // 1000 - int(away_s * S), status, "fishladder/1", "gw")
    await stores.state.hset(keys.UPLINKS, f"{site}/agent", encode(report))


async def status(stores: Stores, *flags: str) -> tuple[int, str, str]:
    done = await fishladder("status", *flags, "--redis", stores.urls.state, env={"TZ": "UTC"})
    return done.status, done.out, done.err


async def test_sites_come_worst_first_in_an_operators_words(stores: Stores) -> None:
    await camera(stores, "site-1/door", heard_s=1)
    await camera(stores, "site-217/door", heard_s=3600)
    await camera(stores, "site-217/yard", heard_s=3601)
    await camera(stores, "site-3/door", heard_s=1)
    await camera(stores, "site-3/yard", heard_s=600)
    await site_with_a_spool(stores, "site-217", 3600)
    code, out, err = await status(stores)
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if " site-" in line]
    assert [line.split()[1] for line in lines] == ["site-217", "site-3", "site-1"]
    # Down for an hour at 800 kbit/s: 360 MB of 3.6 GB are taken, and nine hours are left.
    assert "uplink down since" in lines[0]
    assert "spool 10%, 9 h left" in lines[0]
    assert "yard: nothing heard since" in lines[1]
    assert "well" in lines[2]
    assert "no worker is running" in out


async def test_one_site_with_its_cameras(stores: Stores) -> None:
    await camera(stores, "site-1/door", heard_s=1, pending=3)
    await site_with_a_spool(stores, "site-1", 1)
    code, out, err = await status(stores, "site-1")
    assert (code, err) == (0, "")
    assert out.startswith("site-1: well")
    assert "340 kbit/s used (how much it would carry is not known yet), round trip 41 ms" in out
    assert "spool 0% of 3.6 GB, would last 10 h more" in out
    assert "live, 5.0 fps, 340 kbit/s" in out
    assert "fewer bits: 200 kbit/s of 600 kbit/s, gate open: something moves" in out


async def test_scripts_get_json_and_an_exit_status(stores: Stores) -> None:
    await camera(stores, "site-1/door", heard_s=100)
    await stores.state.hset(keys.WORKERS, "w-1", encode(Heartbeat(0, 0, "host", 1, cameras=3)))
    now_ms = time.time_ns() // 1_000_000
    report = SinkReport(now_ms, "webhook", "https://x/y", 10, 0, 120_000, "HTTP 500", now_ms - 120_000)
    await stores.state.hset(keys.SINKS, "alarms", encode(report))
    await stores.state.hset(keys.SINKS, "of-a-later-version", b'{"at_ms": "soon"}')
    code, out, _ = await status(stores, "--json")
    told = json.loads(out)
    assert code == 0
    assert [it["site"] for it in told["sites"]] == ["site-1"]
    assert told["sites"][0]["finding"]["severity"] == "down"
    code, _, err = await status(stores, "--check")
    assert code == 1
    for said in ("site-1: uplink down since", "w-1: not heard from", "alarms: cannot deliver since", "HTTP 500"):
        assert said in err


@pytest.mark.parametrize(("site", "code", "says"), [("nowhere", 2, "nowhere"), ("No/Site", 2, "not allowed")])
async def test_a_site_that_is_none_is_said(stores: Stores, site: str, code: int, says: str) -> None:
    await camera(stores, "site-1/door", heard_s=1)
    found, _, err = await status(stores, site)
    assert found == code
    assert says in err
