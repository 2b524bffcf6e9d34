"""One WebRTC peer that sends video: what ties its sockets, ICE, DTLS, SRTP and the receiver together. Every
datagram is handled where it comes in, by one synchronous call; one that cannot be used is counted and changes nothing.
"""

import asyncio
import secrets
import time
from collections.abc import Callable

import structlog

from fishladder.gateway.webrtc import answer as answers
from fishladder.gateway.webrtc import sdp
from fishladder.gateway.webrtc.addresses import MediaSettings, candidates
from fishladder.gateway.webrtc.assembler import Assembled
from fishladder.gateway.webrtc.dtls import Dtls
from fishladder.gateway.webrtc.ice import IceAgent, Path
from fishladder.gateway.webrtc.sender_clock import SenderClock
from fishladder.gateway.webrtc.sockets import Sockets
from fishladder.gateway.webrtc.source import Counts
from fishladder.gateway.webrtc.video import VideoStream
from fishladder.wire.errors import WireError
from fishladder.wire.unit import Codec

log = structlog.get_logger(__name__)

#: The client may get the answer later than our first datagram, and cannot know our fingerprint before.
DTLS_AFTER_S = 0.2
CONNECT_S = 20.0
_MOST_EARLY = 256
#: Streams of packets in one session: each that libsrtp knows makes it slower to find the next.
_MOST_SSRCS = 256

Sink = Callable[[Codec, Assembled], None]


class Peer:
    """`sink` gets its units; `ended` is set when the peer is gone, `left` says why. Units of more than `unit_bytes`
    are given up.
    """

    def __init__(self, offer: str, sink: Sink, unit_bytes: int) -> None:
        """Raises `WireError` saying what is wrong with the offer (SDP), `CannotServe` if nothing is."""
        self.plan = answers.plan(sdp.read_offer(offer))
        self.ended = asyncio.Event()
        self.left = ""
        self.bad = 0  #: datagrams nothing could be done with
        self.connected_at: float | None = None
        self._sink = sink
        self._ssrc = secrets.randbits(32)
        self._video = VideoStream(self.plan.parameters, ssrc=self._ssrc, unit_bytes=unit_bytes)
        self._audio = self.plan.audio_types
        self._sockets = Sockets()
        self._ice: IceAgent | None = None
        self._dtls = Dtls(self._send_selected, self._closed_by_peer)
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._ice_at = self._video_at = float("inf")
        self._loop = asyncio.get_running_loop()
        self._origin = secrets.randbits(62)
        self._named: list[str] = []
        self._early: list[bytes] = []
        self._ssrcs: set[bytes] = set()

    async def listen(self, settings: MediaSettings) -> None:
        """Open sockets, and send nothing yet. Raises `UplinkError` if there is no port to receive at."""
        await self._sockets.open(settings, self.received)
        bound = self._sockets.bound
        self._named = candidates(bound, settings.announce)
        families = tuple(6 if ":" in address else 4 for address, _ in bound)
        transport = self.plan.transport
        self._ice = IceAgent(transport.credentials, families, controlling=transport.ice_lite)

    def answer(self) -> str:
        """Begin to connect: the answer (SDP). After `listen`."""
        assert self._ice is not None
        self._ice.listed(self.plan.transport.candidates, time.monotonic())
        self._task = asyncio.create_task(self._connect(), name="whip connect")
        self._arm()
        return answers.write_answer(
            self.plan,
            session=self._origin,
            local=self._ice.local,
            fingerprints=self._dtls.fingerprints,
            candidates=self._named,
            ssrc=self._ssrc,
        )

    @property
    def heard_at(self) -> float:
        """When the client last proved that it is there (`time.monotonic`)."""
        return self._ice.heard_at if self._ice else float("-inf")

    @property
    def clock(self) -> SenderClock | None:
        return self._video.clock

    @property
    def counts(self) -> Counts:
        return self._video.counts

    @property
    def remote(self) -> sdp.Credentials:
        """The client's ICE credentials of the moment."""
        assert self._ice is not None
        return self._ice.remote

    @property
    def restarting(self) -> bool:
        """An ICE restart was answered, and the client has not gone on from it yet."""
        assert self._ice is not None
        return self._ice.restarting

    def trickled(self, candidates: tuple[sdp.Candidate, ...]) -> None:
        """More places the client may be at."""
        assert self._ice is not None
        self._ice.listed(candidates, time.monotonic())
        self._arm()

    def restart(self, remote: sdp.Credentials, candidates: tuple[sdp.Candidate, ...]) -> str:
        """An ICE restart: the fragment (RFC 8840) that tells the client where to go on. The same restart again is the
        same fragment.
        """
        assert self._ice is not None
        now = time.monotonic()
        if remote != self._ice.remote:
            self._ice.restart(remote, now)
        self._ice.listed(candidates, now)
        self._arm()
        video = self.plan.video
        lines = [f"a=ice-ufrag:{self._ice.local.ufrag}", f"a=ice-pwd:{self._ice.local.password}"]
        lines.append(f"m=video 9 {video.protocol} 0")
        lines += [f"a=mid:{video.mid}"] if video.mid is not None else []
        lines += [f"a=candidate:{one}" for one in self._named]
        return "\r\n".join([*lines, "a=end-of-candidates"]) + "\r\n"

    def want_keyframe(self) -> None:
        """Ask the client for a keyframe, at most once a second."""
        self._video.want_keyframe(time.monotonic())
        self._flush()

    def end(self, why: str) -> None:
        """Let whoever waits for the end go on. The first reason counts."""
        self.left = self.left or why
        self.ended.set()

    async def close(self) -> None:
        """Say goodbye and free everything. Idempotent."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])
        await self._dtls.close()
        self._sockets.close()
        self._disarm()
        self._sink = _nowhere
        self.end("closed")

    def received(self, path: Path, data: bytes) -> None:
        """A datagram at one of our sockets. Never raises: whoever sent it must not be able to end anything."""
        try:
            if self.connected_at is not None and data and 127 < data[0] < 192:
                self._media(data, time.monotonic())  # SRTP itself tells who sent it, wherever from
            else:
                self._dispatch(path, data)
        except WireError:
            self.bad += 1
        except Exception:
            self.bad += 1
            if self.bad == 1:
                log.exception("a datagram could not be handled", size=len(data))

    def _dispatch(self, path: Path, data: bytes) -> None:
        assert self._ice is not None
        now = time.monotonic()
        first = data[0] if data else 255
        if first < 4:
            for one in self._ice.received(data, path, now):
                self._sockets.send(*one)
            if self._ice.selected is not None:
                self._ready.set()
            self._arm()
        elif 127 < first < 192 and self._ice.knows(path.address):
            # The client's media may follow on the heels of its last word of the handshake.
            if self._ready.is_set() and len(self._early) < _MOST_EARLY:
                self._early.append(data)
        elif 19 < first < 64 and self._ice.knows(path.address):
            self._dtls.received(data)  # which has no way to tell: a stranger's alert would end a handshake
        else:
            self.bad += 1

    def _media(self, data: bytes, now: float) -> None:
        """SRTP and SRTCP (RFC 5761 tells them apart), with the keys there."""
        if len(data) < 12:
            return
        control = 191 < data[1] < 224
        if not control and data[1] & 127 in self._audio:
            return
        assert self._dtls.decrypt is not None
        plain = self._dtls.decrypt.packet(data, control=control)
        if plain is None:
            self.bad += 1
            return
        assert self._ice is not None
        self._ice.heard_at = now
        ssrc = data[4:8] if control else data[8:12]
        if ssrc not in self._ssrcs:
            if len(self._ssrcs) >= _MOST_SSRCS:
                self.end(f"the peer sends more than {_MOST_SSRCS} streams")
                return
            self._ssrcs.add(ssrc)
        video = self._video
        if control:
            video.take_rtcp(plain, now)
        else:
            video.take_rtp(plain, now)
        if video.units or video.outgoing:
            self._flush()
        if video.next_at != self._video_at:
            self._set_timer()

    def _flush(self) -> None:
        video = self._video
        if video.units:
            units, video.units = video.units, []
            for codec, unit in units:
                self._sink(codec, unit)
        if video.outgoing:
            outgoing, video.outgoing = video.outgoing, []
            if self.connected_at is not None:
                for message in outgoing:
                    self._send_selected(self._dtls.encrypt.protect_rtcp(message))

    def _due(self) -> None:
        """Whatever waits for its time."""
        self._timer, self._timer_at = None, float("inf")
        now = time.monotonic()
        if self._ice is not None and now >= self._ice.next_at:
            for one in self._ice.poll(now):
                self._sockets.send(*one)
        if self.connected_at is not None and now >= self._video.next_at:
            self._video.poll(now)
            self._flush()
        self._arm()

    def _arm(self) -> None:
        """What waits for its time may have changed."""
        if self._ice is not None:
            self._ice_at = self._ice.next_at
        self._set_timer()

    def _set_timer(self) -> None:
        """As `_arm`, where it is only the video's. Media makes ICE wait longer, which the timer finds out."""
        if not self._sockets.are_open:
            return
        self._video_at = self._video.next_at
        at = self._ice_at if self.connected_at is None else min(self._ice_at, self._video_at)
        if at == self._timer_at:
            return
        self._disarm()
        if at < float("inf"):
            self._timer_at = at
            self._timer = self._loop.call_later(max(at - time.monotonic(), 0.001), self._due)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, float("inf")

    async def _connect(self) -> None:
        """ICE begins at once, DTLS a little later."""
        answered = time.monotonic()
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._ready.wait()
                await asyncio.sleep(max(answered + DTLS_AFTER_S - time.monotonic(), 0))
                if not await self._dtls.handshake(self.plan.transport.fingerprints, passive=self.plan.passive):
                    self.end("the DTLS handshake failed: certificate and fingerprint do not agree, or no cipher does")
                    return
        except TimeoutError:
            what = "DTLS did" if self._ready.is_set() else "ICE did"
            self.end(f"no connection: {what} not come through within {CONNECT_S:g} s, is UDP let through?")
            return
        now = self.connected_at = time.monotonic()
        early, self._early = self._early, []
        for data in early:
            self._media(data, now)
        self._video.connected(now)
        self._flush()
        self._arm()

    def _closed_by_peer(self) -> None:
        self.end("the peer left")

    def _send_selected(self, data: bytes) -> None:
        if self._ice is not None and self._ice.selected is not None:
            self._sockets.send(self._ice.selected, data)


def _nowhere(codec: Codec, unit: Assembled) -> None:
    pass
