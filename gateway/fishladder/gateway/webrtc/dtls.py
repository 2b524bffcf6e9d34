"""DTLS-SRTP for one peer: aiortc's transport, set between our sockets and our receiver. Of aiortc it needs more than is
public; what that is stands here, and is checked at the start.
"""

import asyncio
import time
from collections.abc import Callable
from importlib.metadata import version

from aiortc import RTCCertificate, rtcdtlstransport
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport, SRTPProtectionProfile
from OpenSSL import SSL
from pylibsrtp import Session

from fishladder.gateway.webrtc.srtp import Decrypt, check_pylibsrtp
from fishladder.wire.errors import ConfigError

_TRANSPORT = ("_do_handshake", "_setup_srtp", "_validate_peer_identity", "_set_role", "_recv_next", "_write_ssl")
_FIELDS = ("_ssl", "_rx_srtp", "_tx_srtp", "_srtp_profiles", "_role", "_transport")
_PROFILES = ("SRTP_AEAD_AES_128_GCM", "SRTP_AES128_CM_SHA1_80", "SRTP_AEAD_AES_256_GCM")
#: aiortc's own list lets us meet nobody who has an RSA key, if the handshake is ours to begin.
_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    b"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    b"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA"
)
_DATAGRAM_BYTES = 1200
_WAITING = 64
_RENEW_S = 86_400.0


class _Pipe:
    """Takes the place of aiortc's ICE transport: what it sends goes to `send`, what comes waits to be fetched."""

    role = "controlled"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._out = send
        self._in: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)

    def put(self, data: bytes) -> None:
        """What is too much is lost, as on the way here; DTLS sends it again."""
        if not self._in.full():
            self._in.put_nowait(data)

    def close(self) -> None:
        self._out = _nowhere
        while self._in.full():
            self._in.get_nowait()
        self._in.put_nowait(None)

    async def _recv(self) -> bytes:
        data = await self._in.get()
        if data is None:
            raise ConnectionError
        return data

    async def _send(self, data: bytes) -> None:
        self._out(data)


class Dtls(RTCDtlsTransport):
    """`decrypt` and `encrypt` are there once `handshake` has returned True; `gone` is called when the peer closes."""

    def __init__(self, send: Callable[[bytes], None], gone: Callable[[], None]) -> None:
        self._pipe = _Pipe(send)
        super().__init__(self._pipe, [_certificate()])  # type: ignore[arg-type]
        self._srtp_profiles = _profiles()
        self._gone = gone
        self.decrypt: Decrypt | None = None

    @property
    def encrypt(self) -> Session:
        return self._tx_srtp

    @property
    def fingerprints(self) -> list[tuple[str, str]]:
        return [(one.algorithm, one.value) for one in self.getLocalParameters().fingerprints[:1]]

    def received(self, data: bytes) -> None:
        """A datagram of DTLS."""
        self._pipe.put(data)

    async def handshake(self, fingerprints: tuple[tuple[str, str], ...], *, passive: bool) -> bool:
        """Whether the peer is who its fingerprints say. `passive`: it begins."""
        self._set_role("server" if passive else "client")
        expected = RTCDtlsParameters([RTCDtlsFingerprint(kind, value) for kind, value in fingerprints])
        await self.start(expected)
        if self.state != "connected":
            return False
        self.decrypt = Decrypt(self._rx_srtp)
        self.on("statechange", self._changed)
        return True

    async def close(self) -> None:
        """Say goodbye. Idempotent."""
        self.remove_all_listeners()
        await self.stop()
        self._pipe.close()
        self._gone = _nothing
        self._ssl = None

    def _changed(self) -> None:
        if self.state in ("closed", "failed"):
            self._gone()

    async def _write_ssl(self) -> None:
        """Flush what OpenSSL has to send. A flight may be larger than a datagram: it is cut between records."""
        waiting = b""
        while self._ssl is not None:
            try:
                waiting += self._ssl.bio_read(65536)
            except SSL.Error:
                break
        for datagram in datagrams(waiting):
            await self._pipe._send(datagram)


def datagrams(records: bytes, most_bytes: int = _DATAGRAM_BYTES) -> list[bytes]:
    """DTLS records (RFC 6347 section 4.1: 13 bytes of header, the last two are the length) in datagrams. Pure."""
    out: list[bytes] = []
    at = start = 0
    while at + 13 <= len(records):
        end = at + 13 + int.from_bytes(records[at + 11 : at + 13], "big")
        if end - start > most_bytes and at > start:
            out.append(records[start:at])
            start = at
        at = end
    if start < len(records):
        out.append(records[start:])
    return out


class _Certificate(RTCCertificate):
    """One for all peers, and with it one OpenSSL context."""

    _context: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        if self._context is None:
            self._context = super()._create_ssl_context(srtp_profiles)
            self._context.set_cipher_list(_CIPHERS)
        return self._context


_made: list[tuple[float, _Certificate]] = []


def _certificate() -> _Certificate:
    """This process's; a new one each day, since they are valid for thirty."""
    now = time.monotonic()
    if not _made or now - _made[0][0] > _RENEW_S:
        _made[:] = [(now, _Certificate.generateCertificate())]
    return _made[0][1]


def _profiles() -> list[SRTPProtectionProfile]:
    """Those this libsrtp has, the cheapest first."""
    known = {one.openssl_profile.decode(): one for one in rtcdtlstransport.SRTP_PROFILES}
    return [known[name] for name in _PROFILES if name in known]


def _nothing() -> None:
    pass


def _nowhere(_: bytes) -> None:
    pass


def check_aiortc() -> None:
    """Whether the insides of aiortc and what it rests on are as we know them. Raises `ConfigError`."""
    check_pylibsrtp()
    made = RTCDtlsTransport(_Pipe(lambda _: None), [_certificate()])  # type: ignore[arg-type]
    missing = [name for name in (*_TRANSPORT, *_FIELDS) if not hasattr(made, name)]
    missing += ["_create_ssl_context"] if not hasattr(RTCCertificate, "_create_ssl_context") else []
    if missing or not _profiles():
        what = ", ".join(missing) or "SRTP profiles"
        raise ConfigError(f"aiortc {version('aiortc')} lacks {what}: install the version fishladder asks for")
