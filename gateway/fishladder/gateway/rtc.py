"""aiortc as a receiver of encoded video: offer in, answer out, and access units, never decoded. What it needs of aiortc
beyond its public interface (the receiver's jitter buffer, its decoder's queue, the codecs agreed on) is named here and
checked at the start, so that another version fails then and not in the middle of a session.
"""

import asyncio
import copy
import threading
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import structlog
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpTransceiver, RTCSessionDescription
from aiortc.codecs import CODECS
from aiortc.exceptions import OperationError

from fishladder.gateway.rtp import Assembled, Assembler, Packet
from fishladder.wire.errors import ConfigError, WireError
from fishladder.wire.unit import Codec

log = structlog.get_logger(__name__)

_CODECS = {"H264": Codec.H264, "VP8": Codec.VP8}
#: Main, High and Constrained High, which cameras and OBS offer; aiortc itself knows the two baselines.
_MORE_H264 = ("4d001f", "64001f", "640c1f")
_JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"
_DECODER_QUEUE = "_RTCRtpReceiver__decoder_queue"
_PLI_EVERY_S = 1.0
_ANSWER_S = 10.0

Sink = Callable[[Codec, Assembled], None]


class NoCommonCodec(WireError):
    """The offer has no video codec we take."""


async def prepare() -> None:
    """Teach aiortc the codecs it lacks, and check that its insides are as we know them. Raises `ConfigError`."""
    known = {str(codec.parameters.get("profile-level-id", "")) for codec in CODECS["video"]}
    model = next(codec for codec in CODECS["video"] if codec.name == "H264")
    for profile in _MORE_H264:
        if profile not in known:
            more = copy.deepcopy(model)
            more.parameters["profile-level-id"] = profile
            CODECS["video"].append(more)
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = peer.addTransceiver("video", direction="recvonly")
    there = all(hasattr(transceiver.receiver, name) for name in (_JITTER_BUFFER, _DECODER_QUEUE))
    there = there and hasattr(transceiver, "_codecs") and hasattr(transceiver.receiver.transport, "_set_role")
    await peer.close()
    if not there:
        raise ConfigError(f"aiortc {version('aiortc')} is not one this gateway can work with: install 1.16")


class Receiver:
    """One peer that sends video. `sink` gets its units; `ended` is set when the peer is gone, `left` says why.
    Units of more than `unit_bytes` are given up.
    """

    def __init__(self, sink: Sink, unit_bytes: int) -> None:
        self._unit_bytes = unit_bytes
        self.ended = asyncio.Event()
        self.left = ""
        self._connected = False
        self._sink = sink
        self._video: _Video | None = None
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._peer.on("connectionstatechange", self._state_changed)

    async def answer(self, offer: str) -> str:
        """Accept an offer (SDP). Raises `WireError` saying what is wrong with it, `NoCommonCodec`."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
                self._take_tracks(passive="a=setup:actpass" in offer)
                await self._peer.setLocalDescription(await self._peer.createAnswer())
        except WireError:
            raise
        except OperationError:
            raise NoCommonCodec("no video codec in common: this gateway takes H.264 and VP8") from None
        except Exception as error:  # noqa: BLE001 - its SDP parser raises whatever a malformed offer makes it stumble on
            raise WireError(f"the offer cannot be used: {type(error).__name__} {error}"[:300]) from None
        return self._peer.localDescription.sdp

    def want_keyframe(self) -> None:
        """Ask the peer for a keyframe with its next packet, at most once a second."""
        if self._video is not None:
            self._video.keyframe_wanted = True

    def end(self, why: str) -> None:
        """Let whoever waits for the end go on. The first reason counts."""
        self.left = self.left or why
        self.ended.set()

    async def close(self) -> None:
        await self._peer.close()

    def _take_tracks(self, *, passive: bool) -> None:
        """Put ourselves in place of the jitter buffers and decoders, before anything is received.

        Where the offer leaves it open, the answer is to be `passive` (RFC 9725): the client's first flight comes
        sooner.
        """
        for transceiver in self._peer.getTransceivers():
            receiver = transceiver.receiver
            setattr(receiver, _DECODER_QUEUE, _Parked())
            if transceiver.kind == "video" and self._video is None and transceiver.receiver.track is not None:
                self._video = _Video(_payload_types(transceiver), self._sink, self._unit_bytes)
                setattr(receiver, _JITTER_BUFFER, self._video)
            else:
                setattr(receiver, _JITTER_BUFFER, _Ignored())
            if passive:
                receiver.transport._set_role("server")
        if self._video is None:
            raise NoCommonCodec("the offer sends no video")

    def _state_changed(self) -> None:
        state = self._peer.connectionState
        self._connected = self._connected or state == "connected"
        if state in ("failed", "closed"):
            self.end("the peer left" if self._connected else "no connection: ICE or DTLS failed, is UDP let through?")


def _payload_types(transceiver: RTCRtpTransceiver) -> dict[int, Codec]:
    agreed = {
        codec.payloadType: _CODECS[codec.name]
        for codec in transceiver._codecs
        if codec.payloadType is not None and codec.name in _CODECS
    }
    if not agreed:
        raise NoCommonCodec("no video codec in common: this gateway takes H.264 and VP8")
    return agreed


class _Video:
    """In place of a receiver's jitter buffer. It asks for a keyframe by its answer to `add`."""

    def __init__(self, codecs: dict[int, Codec], sink: Sink, unit_bytes: int) -> None:
        self.keyframe_wanted = True
        self._codecs = codecs
        self._sink = sink
        self._assembler = Assembler(unit_bytes=unit_bytes)
        self._clock = asyncio.get_running_loop().time
        self._asked_at = float("-inf")

    def add(self, packet: Any) -> tuple[bool, None]:
        codec, now = self._codecs.get(packet.payload_type), self._clock()
        if codec is None:
            return False, None
        arrived = Packet(packet.ssrc, packet.sequence_number, packet.timestamp, bool(packet.marker), packet._data)
        for unit in self._assembler.push(arrived, now):
            self._sink(codec, unit)
        ask = (self.keyframe_wanted or self._assembler.broken) and now - self._asked_at >= _PLI_EVERY_S
        if ask:
            self.keyframe_wanted, self._asked_at = False, now
        return ask, None


class _Ignored:
    """In place of the jitter buffer of a track we do not want."""

    def add(self, _: Any) -> tuple[bool, None]:
        return False, None


class _Parked:
    """In place of a decoder's queue: its thread waits here until the receiver stops."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def put(self, task: Any) -> None:
        if task is None:
            self._over.set()

    def get(self) -> None:
        self._over.wait()
