"""Reads what the views show out of the state store: of each camera its account at one moment and its last results, of
workers, uplinks and sinks what they say of themselves. Judging it is `findings`' business.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec
from redis.exceptions import NoScriptError

from fishladder.runtime.ledger import Books, Ledger, books_keys_args, books_of, ledger_of
from fishladder.runtime.scripts import script, text
from fishladder.view import findings
from fishladder.view.models import (
    CameraView,
    LedgerView,
    Overview,
    SinkView,
    SiteDetail,
    WorkerView,
)
from fishladder.view.reader import StateReader
from fishladder.view.recent import HOPS, Recent
from fishladder.view.sending import sending_view
from fishladder.view.sites import site_view, worst_first
from fishladder.wire import keys, reports, result
from fishladder.wire.errors import WireError
from fishladder.wire.ids import site_of
from fishladder.wire.messages import Asked, Policy
from fishladder.wire.reports import Flow, Heartbeat, Reported, SinkReport, UplinkReport

#: Cameras asked for in one exchange.
_AT_ONCE = 256
#: Results looked at where latency and detections of one site or camera are shown, and where it is all of them.
CLOSE = 24
FAR = 1
_NOBODY = Flow()
T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything, as read at one moment."""

    at_us: int
    cameras: tuple[CameraView, ...]
    uplinks: dict[str, UplinkReport]
    workers: tuple[WorkerView, ...]
    sinks: tuple[SinkView, ...]

    def overview(self) -> Overview:
        """Sites, workers and sinks, worst first."""
        sites = [
            site_view(site, cameras, self.uplinks.get(site), self.at_us) for site, cameras in self.by_site().items()
        ]
        return Overview(
            self.at_us // 1000,
            sorted(sites, key=lambda it: (-it.finding.severity.rank, it.site)),
            sorted(self.workers, key=lambda it: (-it.finding.severity.rank, it.worker)),
            sorted(self.sinks, key=lambda it: (-it.finding.severity.rank, it.sink)),
        )

    def only(self, allows: Callable[[str], bool], *, everything: bool) -> "Snapshot":
        """What somebody may see who is allowed these cameras; workers and sinks only who may see `everything`."""
        cameras = tuple(camera for camera in self.cameras if allows(camera.camera))
        return replace(
            self,
            cameras=cameras,
            workers=self.workers if everything else (),
            sinks=self.sinks if everything else (),
        )

    def by_site(self) -> dict[str, list[CameraView]]:
        sites: dict[str, list[CameraView]] = defaultdict(list)
        for camera in self.cameras:
            sites[camera.site].append(camera)
        return sites

    def site(self, name: str) -> SiteDetail | None:
        """A site with its cameras, worst first; None if it has none."""
        cameras = self.by_site().get(name)
        if not cameras:
            return None
        return SiteDetail(site_view(name, cameras, self.uplinks.get(name), self.at_us), worst_first(cameras))


async def read_snapshot(reader: StateReader, *, names: Sequence[str] | None = None, depth: int = FAR) -> Snapshot:
    """Read `names`, None = all cameras, with `depth` of their last results; those that are retired are left out. Raises
    redis' errors.
    """
    chosen = await reader.known_cameras(None) if names is None else names
    now_us = time.time_ns() // 1000
    cameras: list[CameraView] = []
    for first in range(0, len(chosen), _AT_ONCE):
        cameras += await _cameras(reader, chosen[first : first + _AT_ONCE], depth)
    async with reader.state.pipeline(transaction=False) as pipe:
        for key in (keys.WORKERS, keys.UPLINKS, keys.SINKS):
            pipe.hgetall(key)
        pipe.time()
        beats, uplinks, sinks, (seconds, micros) = await pipe.execute()
    store_ms = seconds * 1000 + micros // 1000
    return Snapshot(
        now_us,
        tuple(cameras),
        _uplinks(uplinks),
        tuple(
            _worker(text(name), beat, store_ms) for name, raw in beats.items() if (beat := reports.read(Heartbeat, raw))
        ),
        tuple(_sink(text(name), it, store_ms) for name, raw in sinks.items() if (it := reports.read(SinkReport, raw))),
    )


async def _cameras(reader: StateReader, names: Sequence[str], depth: int) -> list[CameraView]:
    it = script("ledger")
    for _ in range(2):
        async with reader.state.pipeline(transaction=False) as pipe:
            for name in names:
                p = reader.partition(name)
                names_of, args = books_keys_args(p, name)
                pipe.evalsha_ro(it.sha, len(names_of), *names_of, *args)
                pipe.xrevrange(keys.results(p, name), count=depth)
            replies: list[Any] = await pipe.execute(raise_on_error=False)
        failed = [reply for reply in replies if isinstance(reply, Exception)]
        if not failed:
            break
        if not isinstance(failed[0], NoScriptError):
            raise failed[0]
        await reader.state.script_load(it.source)
    now_us = time.time_ns() // 1000
    found = [
        (name, books_of(account), recent)
        for name, account, recent in zip(names, replies[::2], replies[1::2], strict=True)
    ]
    return [camera_view(name, books, recent, now_us) for name, books, recent in found if "retired" not in books.camera]


def camera_view(
    camera: str,
    books: Books,
    recent: Sequence[tuple[bytes, dict[bytes, bytes]]],
    now_us: int,
) -> CameraView:
    """A camera from its account and its last results, newest first."""
    ledger, fields = ledger_of(camera, books, now_us=now_us), books.camera
    flow = reports.read(Flow, fields.get("flow")) or _NOBODY
    policy = reports.read(Policy, fields.get("policy")) or Policy()
    asked = reports.read(Asked, fields.get("asked"))
    heard_us = int(fields.get("position_us", 0))
    lately, worker = _lately(recent)
    hops = lately.hops_ms()
    away = not heard_us or now_us - heard_us > findings.AWAY_S * 1e6
    sending = sending_view(flow.sender) if flow.sender is not None and not away else None
    facts = findings.CameraFacts(
        heard_us=heard_us,
        moved_us=flow.moved_us,
        oldest_us=flow.oldest_us,
        fps=flow.fps,
        wanted_fps=policy.fps,
        bps=flow.bps,
        pending=ledger.pending,
        deferred=ledger.deferred,
        unaccounted=ledger.unaccounted,
        captured=ledger.captured,
        paused=policy.pause,
        asked=asked,
        thinned=sending.what if sending is not None and sending.step in ("pictures", "size") else "",
    )
    return CameraView(
        camera,
        site_of(camera),
        camera.partition("/")[2],
        findings.judge_camera(facts, now_us),
        fps=None if away else flow.fps,
        bps=None if away else flow.bps,
        codec=flow.codec,
        width=flow.width,
        height=flow.height,
        heard_age_s=ledger.position_age_s,
        latency_ms=round(sum(hops), 1) if hops else None,
        hops_ms={name: round(ms, 1) for name, ms in zip(HOPS, hops, strict=True)} if hops else {},
        oldest_pending_s=max((now_us - flow.oldest_us) / 1e6, 0.0) if flow.oldest_us and ledger.pending else 0.0,
        seen=dict(lately.now_seen()),
        worker=worker,
        policy=policy,
        policy_ms=int(fields["policy_ms"]) if "policy_ms" in fields else None,
        asked=asked,
        reported=reports.read(Reported, fields.get("reported")),
        ledger=ledger_view(ledger),
        sending=sending,
    )


def _lately(recent: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> tuple[Recent, str]:
    """The last results taken together, and who committed the newest."""
    lately, worker = Recent(window_s=30.0), ""
    for entry_id, entry in reversed(recent):
        try:
            one = result.decode(entry[b"r"])
        except WireError:  # a later version's
            continue
        if one.lane == keys.LIVE:
            lately.add(int(entry_id.partition(b"-")[0]), one)
            worker = one.worker
    return lately, worker


def ledger_view(it: Ledger) -> LedgerView:
    return LedgerView(
        captured=it.captured,
        inferred=it.group("inferred"),
        skipped=it.group("skipped"),
        dropped=it.group("dropped"),
        pending=it.pending,
        deferred=it.deferred,
        unaccounted=it.unaccounted,
        closes=it.closes,
        reasons={fate.label: number for fate, number in sorted(it.fates.items()) if fate.group != "inferred"},
        position=str(it.position),
        cursor=str(it.cursor),
        position_age_s=it.position_age_s,
    )


def _read(kind: type[T], stored: dict[bytes, bytes]) -> Iterator[tuple[str, T]]:
    """The reports of a hash that can be read, by name."""
    for name, raw in stored.items():
        if (report := reports.read(kind, raw)) is not None:
            yield text(name), report


def _uplinks(stored: dict[bytes, bytes]) -> dict[str, UplinkReport]:
    """The newest of each site."""
    newest: dict[str, UplinkReport] = {}
    for name, report in _read(UplinkReport, stored):
        site = site_of(name)
        if site not in newest or newest[site].at_us < report.at_us:
            newest[site] = report
    return newest


def _worker(name: str, beat: Heartbeat, now_ms: int) -> WorkerView:
    lag_s = beat.lag_ms / 1000 if beat.lag_ms is not None else None
    return WorkerView(
        name,
        findings.judge_worker((now_ms - beat.at_ms) / 1000, beat.cameras, lag_s, beat.fps),
        host=beat.host,
        pid=beat.pid,
        model=beat.model,
        provider=beat.provider,
        partitions=beat.partitions,
        cameras=beat.cameras,
        fps=beat.fps,
        lag_s=lag_s,
        backlog_bytes=beat.backlog_bytes,
        oldest_s=beat.oldest_ms / 1000,
        capacity_fps=beat.capacity_fps,
        since_ms=beat.since_ms,
    )


def _sink(name: str, it: SinkReport, now_ms: int) -> SinkView:
    return SinkView(
        name,
        findings.judge_sink((now_ms - it.at_ms) / 1000, it.lag_ms / 1000, it.missed, it.error, it.since_ms),
        kind=it.kind,
        to=it.to,
        delivered=it.delivered,
        missed=it.missed,
        lag_s=it.lag_ms / 1000,
    )
