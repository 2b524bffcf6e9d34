"""How far each camera has captured, as its sender says, and how its flow and its site's uplink are, on the way into the
state store: gathered, and written once a second in one exchange. Only the newest counts, so one that is lost is made
good by the next.
"""

import asyncio
from collections.abc import Sequence
from itertools import islice

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from fishladder.gateway.asking import asking
from fishladder.gateway.clock import wall_us
from fishladder.gateway.flow import FlowMeter
from fishladder.gateway.session import LogSession
from fishladder.runtime.scripts import script
from fishladder.wire import keys
from fishladder.wire.messages import CameraReport, UplinkStatus
from fishladder.wire.reports import Reported, UplinkReport

EVERY_S = 1.0
_AT_ONCE = 512
#: The position script's key and arguments: epoch, seq, now, flow.
_Call = tuple[str, int, int, int, bytes]


#: A camera not heard of for so long is measured anew.
_FORGET_US = 60_000_000
#: Uplinks that are told of: whoever has a token may not fill the store with names.
_UPLINKS = 4096


class Positions:
    """`report`, `reported` and `uplink` never wait; `run` writes."""

    def __init__(self, state: Redis, gateway: str = "") -> None:
        self._state = state
        self._gateway = gateway
        self._news: dict[str, tuple[LogSession, int, int]] = {}  # with epoch and seq
        self._uplinks: dict[str, UplinkReport] = {}
        self._reported: dict[str, tuple[str, bytes]] = {}  # by camera: its key, and what its agent says that it does
        self._meters: dict[str, FlowMeter] = {}

    def report(self, session: LogSession) -> None:
        """Note `session.position`."""
        self._news[session.camera] = (session, session.epoch, session.position)

    def reported(self, session: LogSession, does: CameraReport) -> None:
        """Note what an agent says that a camera does."""
        report = Reported(wall_us() // 1000, msgspec.structs.replace(does, channel=0, mode=does.mode[:20]))
        key = keys.camera(session.partition, session.camera)
        self._reported[session.camera] = (key, msgspec.json.encode(report))

    def uplink(self, site: str, subject: str, status: UplinkStatus, agent: str) -> None:
        """Note what an agent says of its uplink."""
        name = f"{site}/{subject[:64]}"
        if name in self._uplinks or len(self._uplinks) < _UPLINKS:
            self._uplinks[name] = UplinkReport(wall_us(), status, agent[:80], self._gateway)

    async def run(self) -> None:
        """Write for ever. Raises `StoreUnavailable`, having kept what could not be written."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.write()

    async def write(self) -> None:
        """Write what there is now. Raises `StoreUnavailable`."""
        while self._news:
            some = dict(islice(self._news.items(), _AT_ONCE))
            now_us = wall_us()
            calls = [self._call(*news, now_us) for news in some.values()]
            async with asking(self._state, "state store, recording positions"):
                await self._send(calls)
            for camera, news in some.items():
                if self._news.get(camera) is news:
                    del self._news[camera]
        while self._reported:
            reported = [self._reported.pop(name) for name in list(self._reported)[:_AT_ONCE]]
            async with asking(self._state, "state store, recording what cameras do"):
                pipe = self._state.pipeline(transaction=False)
                for key, report in reported:
                    pipe.hset(key, "reported", report)
                await pipe.execute()
        if self._uplinks:
            reports, self._uplinks = self._uplinks, {}
            async with asking(self._state, "state store, recording uplinks"):
                await self._state.hset(
                    keys.UPLINKS, mapping={name: msgspec.json.encode(report) for name, report in reports.items()}
                )
        self._forget(wall_us())

    def _call(self, session: LogSession, epoch: int, seq: int, now_us: int) -> _Call:
        meter = self._meters.setdefault(session.camera, FlowMeter(self._gateway))
        flow = msgspec.json.encode(meter.sample(session, now_us))
        return keys.camera(session.partition, session.camera), epoch, seq, now_us, flow

    async def _send(self, calls: Sequence[_Call]) -> None:
        it = script("position")
        pipe = self._state.pipeline(transaction=False)
        for call in calls:
            pipe.evalsha(it.sha, 1, *call)
        replies = await pipe.execute(raise_on_error=False)
        errors = [reply for reply in replies if isinstance(reply, Exception)]
        if not errors:
            return
        if not isinstance(errors[0], NoScriptError):
            raise errors[0]
        await self._state.script_load(it.source)
        await self._send(calls)

    def _forget(self, now_us: int) -> None:
        for camera in [name for name, meter in self._meters.items() if now_us - meter.sampled_us > _FORGET_US]:
            del self._meters[camera]
