"""What of aiortc's sender is ours: it is given units that are encoded already, paced by the operator's limits, and what
receivers say of the way to them is heard.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import av
from aiortc import RTCPeerConnection, RTCRtpSender
from aiortc.clock import current_ntp_time
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtp import (
    RTCP_PSFB_APP,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSrPacket,
    is_rtcp,
    unpack_remb_fci,
)
from av.stream import Stream

from fishladder.edge.limits.limiter import Limiter
from fishladder.edge.limits.wire import UDP_HEADER_BYTES, Carried
from fishladder.edge.rate.whip_budget import Peer

#: While nothing may go, it is looked so often whether that still holds.
_LOOK_S = 0.5
#: Packets that wait to be sent again; what is asked for beyond is asked for again.
_MOST_AGAIN = 100
#: A longer round trip is a clock that was set.
_MOST_ROUND_TRIP_S = 10.0

# aiortc turns what receivers say (a wish for a keyframe, what comes through) into settings of its own encoder, which
# has bounds of its own and is not used here; this is where we hear of it, and where what it sends can be paced.
for _owner, _name in (
    (RTCRtpSender, "_send_keyframe"),
    (RTCRtpSender, "_handle_rtcp_packet"),
    (RTCRtpSender, "_retransmit"),
    (RTCDtlsTransport, "_send_rtp"),
):
    if not hasattr(_owner, _name):
        raise ImportError(f"this aiortc has no {_owner.__name__}.{_name}: use the version fishladder asks for")


Packet: TypeAlias = "av.Packet[Stream]"


class Track(MediaStreamTrack):
    """Hands units to aiortc as packets it has not to encode."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.waiting: deque[Packet] = deque()
        self._news = asyncio.Event()

    def put(self, packet: Packet) -> None:
        self.waiting.append(packet)
        self._news.set()

    async def recv(self) -> Packet:
        while not self.waiting:
            self._news.clear()
            await self._news.wait()
        if self.readyState != "live":
            raise MediaStreamError
        return self.waiting.popleft()


def listen(sender: RTCRtpSender, peer: Peer, now_s: Callable[[], float]) -> None:
    """Hear what the receiver says of the way to it, before aiortc does."""
    handle = sender._handle_rtcp_packet

    async def heard(packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == sender._ssrc:
                    peer.report(report.fraction_lost / 256)
                    if (took_s := round_trip_s(report, current_ntp_time())) is not None:
                        peer.round_trip(took_s, now_s())
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
            with suppress(ValueError):  # another message of that kind
                bps, sources = unpack_remb_fci(packet.fci)
                if sender._ssrc in sources:
                    peer.remb(bps, now_s())
        await handle(packet)

    sender._handle_rtcp_packet = heard  # type: ignore[method-assign]


def round_trip_s(report: RtcpReceiverInfo, now_ntp: int) -> float | None:
    """By when our last report was sent and how long the receiver has had it (RFC 3550, 6.4.1); None if it has had none.
    `now_ntp` is a 64-bit NTP time stamp.
    """
    if not report.lsr:
        return None
    took_s = ((now_ntp >> 16) - report.lsr - report.dlsr & 0xFFFFFFFF) / 65536
    return took_s if took_s < _MOST_ROUND_TRIP_S else None


def pace(sender: RTCRtpSender, limiter: Limiter) -> None:
    """Let its packets out no faster than the limits allow. What is sent again waits beside what is sent first, since
    aiortc hears nothing while it waits for that.
    """
    transport, retransmit = sender.transport, sender._retransmit
    send = transport._send_rtp
    again: set[asyncio.Task[None]] = set()

    async def paced(data: bytes) -> None:
        if not is_rtcp(data):  # reports are few, and tell of the link's queue only if they do not wait in ours
            while (wait_s := limiter.wait_s()) > 0:  # noqa: ASYNC110 - it is time that is waited for
                await asyncio.sleep(min(wait_s, _LOOK_S))
        limiter.sent(len(data))
        await send(data)

    async def one_again(sequence_number: int) -> None:
        with suppress(ConnectionError):  # the session has ended meanwhile
            await retransmit(sequence_number)

    async def send_again(sequence_number: int) -> None:
        if limiter.wait_s() == 0:
            await retransmit(sequence_number)
        elif len(again) < _MOST_AGAIN:
            task = asyncio.create_task(one_again(sequence_number))
            again.add(task)
            task.add_done_callback(again.discard)

    transport._send_rtp = paced  # type: ignore[method-assign]
    sender._retransmit = send_again  # type: ignore[method-assign]


async def carried(sender: RTCRtpSender) -> Carried:
    """What its connection has carried so far, as IP bytes, but for its few connectivity checks."""
    up = down = 0
    for it in (await sender.getStats()).values():
        if it.type == "transport":
            up += it.bytesSent + it.packetsSent * UDP_HEADER_BYTES
            down += it.bytesReceived + it.packetsReceived * UDP_HEADER_BYTES
    return Carried(up, down)


async def close(peer: RTCPeerConnection) -> None:
    """Close a connection, and end the tasks left by aiortc, which waits for one that will never be made, and by ICE,
    which goes on asking for consent if it was closed just when it had connected.
    """
    transports = [it.sender.transport.transport for it in peer.getTransceivers()]
    owners = {id(peer), *(id(it._connection) for it in transports)}
    try:
        await peer.close()
    finally:
        for task in asyncio.all_tasks():
            frame = getattr(task.get_coro(), "cr_frame", None)
            if frame is not None and id(frame.f_locals.get("self")) in owners:
                task.cancel()
