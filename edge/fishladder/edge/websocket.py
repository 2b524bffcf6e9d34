"""The agent's WebSocket to a gateway: TLS, proxy, heartbeat, and a send that returns only when the kernel has taken
everything, so that what is urgent never waits behind more than one message. What is said over it is `uplink_stream`'s.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

from fishladder.edge.gateway_address import GatewayAddress, explain
from fishladder.edge.limits.wire import HEADER_BYTES, Carried
from fishladder.edge.link_state import LinkState
from fishladder.edge.redirects import guarded
from fishladder.edge.schedule import MOST_UNSENT_BYTES
from fishladder.wire.errors import UplinkDown, UplinkError, WireError
from fishladder.wire.messages import MAX_TEXT_BYTES

HEARTBEAT_S = 15.0
#: A link that takes nothing for so long is away. TCP alone would find out after minutes, and then try ever more seldom.
UNACKED_S = 8.0
CONNECT_S = 20.0
_TCP_NOTSENT_LOWAT = 25
#: struct tcp_info: whether the rate is what we gave, smoothed and shortest round trip (us), delivery rate (bytes/s).
_APP_LIMITED_AT, _RTT_AT, _NOTSENT_AT, _MIN_RTT_AT, _RATE_AT = 7, 68, 144, 148, 160
#: The state of its congestion control, 0 where all is well; payload bytes of a segment, segments on their way, and
#: those that ever came through, out of turn too (Linux 4.18).
_STATE_AT, _MSS_AT, _UNACKED_AT, _DELIVERED_AT = 1, 16, 24, 192
#: Payload bytes received, segments sent and received (with empty ones), payload bytes sent (also again; Linux 4.19).
_RECEIVED_AT, _SEGMENTS_AT, _SENT_AT = 128, 136, 200
_INFO_BYTES = 208
#: struct tcp_bbr_info ends with the gains of pace and window, in 256ths. Both are 1 while BBR looks for the least round
#: trip (`bbr_check_probe_rtt_done` and `bbr_set_pacing_gain` of Linux): at most four segments are in flight then.
_TCP_CC_INFO, _BBR_INFO, _PLAIN_GAINS = 26, struct.Struct("=IIIII"), (256, 256)
_IPV6_MORE_BYTES = 20


def _delivered_bytes(info: bytes) -> int | None:
    """TCP counts segments, most of which are full."""
    if len(info) < _DELIVERED_AT + 4:
        return None
    return int(struct.unpack_from("=I", info, _MSS_AT)[0] * struct.unpack_from("=I", info, _DELIVERED_AT)[0])


def looks_for_least_rtt(info: bytes) -> bool:
    """Whether BBR does, by what `TCP_CC_INFO` says."""
    return len(info) == _BBR_INFO.size and _BBR_INFO.unpack(info)[-2:] == _PLAIN_GAINS


class WebSocket:
    """An open connection. Every method raises `UplinkError` once it is lost. `proxied`: TCP ends at a proxy of this
    site, so what it says is not of the uplink.
    """

    def __init__(
        self, ws: aiohttp.ClientWebSocketResponse, transport: asyncio.Transport, *, proxied: bool = False
    ) -> None:
        self._ws = ws
        self._proxied = proxied
        self._transport = transport
        self._protocol: Any = transport.get_protocol()
        for layer in _layers(transport):
            layer.set_write_buffer_limits(high=1)  # with 0 a TLS layer would never say that it is empty
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._bbr = sys.platform == "linux" and self._congestion() == b"bbr"
        self._held_back_bytes = 0
        self._corked = False
        self.hold_back(MOST_UNSENT_BYTES)
        if sys.platform == "linux":
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNACKED_S * 1000))

    def hold_back(self, most_bytes: int) -> None:
        """The kernel takes no more while it has so much that is not yet on its way (Linux)."""
        if sys.platform != "linux" or most_bytes == self._held_back_bytes:
            return
        self._held_back_bytes = most_bytes
        with suppress(OSError):  # it is lost, which whoever reads is told
            self._socket.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, most_bytes)

    @property
    def peer(self) -> tuple[str, int] | None:
        """The address at the other end, a gateway's or a proxy's."""
        address = self._transport.get_extra_info("peername")
        return (str(address[0]), int(address[1])) if isinstance(address, tuple) else None

    async def send(self, message: bytes | str, *, more: bool = False) -> None:
        """Returns when nothing of it is left in this process. With `more` to come it may wait in the kernel until
        `flush`, for what it can share a packet with (Linux).
        """
        self._cork(more)
        try:
            if isinstance(message, str):
                await self._ws.send_str(message)
            else:
                await self._ws.send_bytes(message)
            if self._protocol.writing_paused:
                await self._protocol._drain_helper()
        except (OSError, aiohttp.ClientError) as error:
            raise UplinkDown(f"the connection was lost: {error}") from None

    def flush(self) -> None:
        """Nothing more comes at once. A picture and what was left out before it so share a packet, and its headers: at
        100 kbit/s those of one more would be 4 % of it.
        """
        self._cork(False)

    def _cork(self, corked: bool) -> None:
        if sys.platform == "linux" and corked != self._corked:
            self._corked = corked
            with suppress(OSError):  # it is lost, which whoever reads is told
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, corked)

    async def receive(self) -> str:
        """The next text message."""
        message = await self._ws.receive()
        match message.type:
            case aiohttp.WSMsgType.TEXT:
                return str(message.data)
            case aiohttp.WSMsgType.BINARY:
                raise WireError("the gateway sent a binary message, which this protocol has only the other way")
            case aiohttp.WSMsgType.ERROR:
                raise UplinkDown(f"the connection was lost: {message.data or self._ws.exception()}")
        code, why = self._ws.close_code, getattr(message, "extra", None) or ""
        raise (UplinkDown if code in (None, aiohttp.WSCloseCode.ABNORMAL_CLOSURE) else UplinkError)(
            f"the gateway closed the connection ({code}{': ' if why else ''}{why})"
        )

    def state(self) -> LinkState:
        """How TCP sees the link; empty where the system does not say, or it is another link."""
        info = b"" if self._proxied else self._info()
        if len(info) < _RATE_AT + 8:
            return LinkState()
        (rate,) = struct.unpack_from("=Q", info, _RATE_AT)
        (rtt_us,) = struct.unpack_from("=I", info, _RTT_AT)
        (min_rtt_us,) = struct.unpack_from("=I", info, _MIN_RTT_AT)
        (notsent_bytes,) = struct.unpack_from("=I", info, _NOTSENT_AT)
        (unacked,) = struct.unpack_from("=I", info, _UNACKED_AT)
        return LinkState(
            rate_bytes_s=float(rate) or None,
            limited_by_us=bool(info[_APP_LIMITED_AT] & 1),
            rtt_us=rtt_us,
            min_rtt_us=min_rtt_us,
            notsent_bytes=notsent_bytes,
            paused=self._paused(),
            delivered_bytes=_delivered_bytes(info),
            in_flight=unacked > 0,
            recovers=info[_STATE_AT] != 0,
        )

    def carried(self) -> Carried | None:
        """IP bytes so far, what was sent again among them; None where the system does not say."""
        info = self._info()
        if len(info) < _SENT_AT + 8:
            return None
        (received,) = struct.unpack_from("=Q", info, _RECEIVED_AT)
        (sent,) = struct.unpack_from("=Q", info, _SENT_AT)
        segments_out, segments_in = struct.unpack_from("=II", info, _SEGMENTS_AT)
        header = HEADER_BYTES + (_IPV6_MORE_BYTES if self._socket.family is socket.AF_INET6 else 0)
        return Carried(sent + segments_out * header, received + segments_in * header)

    def _congestion(self) -> bytes:
        """The name of its congestion control; empty where the system does not say."""
        try:
            return self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")
        except OSError:
            return b""

    def _paused(self) -> bool:
        if not self._bbr:
            return False
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, _TCP_CC_INFO, _BBR_INFO.size)
        except OSError:
            return False
        return looks_for_least_rtt(info)

    def _info(self) -> bytes:
        """The kernel's `struct tcp_info`; empty where it has none."""
        if sys.platform != "linux":
            return b""
        try:
            return self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        except OSError:
            return b""


@asynccontextmanager
async def connect(to: GatewayAddress) -> AsyncIterator[WebSocket]:
    """Open `/v1/uplink`. Raises `UplinkError`, `AuthRefused`, `ConfigError`."""
    # A public hook of aiohttp's: the response object is made by us, so that its transport is at hand.
    opened: list[aiohttp.ClientResponse] = []

    class Response(aiohttp.ClientWebSocketResponse):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            opened.append(next(arg for arg in args if isinstance(arg, aiohttp.ClientResponse)))

    async with aiohttp.ClientSession(
        ws_response_class=Response,
        connector=aiohttp.TCPConnector(ssl=to.tls() if to.url.startswith("https") else True),
        trace_configs=[guarded(to, follow=False)],
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
    ) as session:
        try:
            async with asyncio.timeout(CONNECT_S):
                ws = await session.ws_connect(
                    f"{to.url}/v1/uplink",
                    headers=to.headers(),
                    proxy=to.proxy.url if to.proxy else None,
                    proxy_headers=to.proxy.headers if to.proxy else None,
                    heartbeat=HEARTBEAT_S,
                    max_msg_size=MAX_TEXT_BYTES,
                    compress=0,
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise explain(error, to) from None
        try:
            connection = opened[0].connection
            if connection is None or connection.transport is None:
                raise UplinkError(f"gateway {to.url}: the connection was lost at once")
            yield WebSocket(ws, connection.transport, proxied=to.proxy is not None)
        finally:
            await ws.close()


def _layers(transport: asyncio.BaseTransport) -> Iterator[asyncio.Transport]:
    """A transport and those below it: each TLS layer buffers for itself and does not tell of the one underneath."""
    layer: Any = transport
    while layer is not None:
        yield layer
        tls = getattr(layer, "_ssl_protocol", None)
        layer = None if tls is None else tls._transport
