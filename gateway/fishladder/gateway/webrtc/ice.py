"""ICE (RFC 8445) for somebody who is called and never calls: it answers the client's checks, checks in turn whatever
checked it and whatever the client listed, and asks for a sign of life when nothing has been heard. Addresses come with
the client's checks, so it matters little what candidates it lists, or when. Pure: datagrams and the time go in,
datagrams come out.
"""

import hmac
import ipaddress
import secrets
import string
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from aioice import stun

from fishladder.gateway.webrtc.sdp import Candidate, Credentials
from fishladder.wire.errors import WireError

Address = tuple[str, int]

#: Nothing heard for so long: ask, and ask again this often.
QUIET_S, ASK_EVERY_S = 1.5, 0.5
#: When a listed candidate is checked, after it became known.
_CHECKS_S = (0.0, 0.1, 0.3, 0.7, 1.5, 3.0)
_MOST_CHECKED = 64
_MOST_UNANSWERED = 128
#: Addresses remembered to be the client's; one forgotten is known again by its next check.
_MOST_PROVEN = 64
_PRIORITY = 110 << 24 | 65535 << 8 | 255  # of a peer-reflexive candidate
_ALPHABET = string.ascii_letters + string.digits


class Path(NamedTuple):
    """From one of our sockets, by its number, to an address of the client."""

    socket: int
    address: Address


class Datagram(NamedTuple):
    path: Path
    data: bytes


@dataclass(slots=True)
class _Generation:
    """One set of credentials; an ICE restart begins another."""

    local: Credentials
    remote: Credentials


@dataclass(slots=True)
class _Check:
    path: Path
    since: float
    made: int = 0


@dataclass(slots=True)
class IceAgent:
    """`families` are the address families (4 or 6) of our sockets, by number. `selected` is where media goes."""

    remote: Credentials
    families: tuple[int, ...]
    controlling: bool = False
    local: Credentials = field(default_factory=lambda: new_credentials())
    selected: Path | None = None
    heard_at: float = float("-inf")  #: when the client last proved that it is there
    rtt_s: float | None = None
    refused: int = 0  #: checks by somebody who does not know our password
    _before: _Generation | None = None  # valid until the client checks with the newer credentials
    _checks: "OrderedDict[Path, _Check]" = field(default_factory=OrderedDict)
    _unanswered: "OrderedDict[bytes, tuple[Path, float, str]]" = field(default_factory=OrderedDict)
    _proven: "OrderedDict[Address, None]" = field(default_factory=OrderedDict)
    _asked_at: float = float("-inf")
    _tie_breaker: int = field(default_factory=lambda: secrets.randbits(64))
    _nominated: bool = False

    def listed(self, candidates: tuple[Candidate, ...], now: float) -> None:
        """The client says where it may be. Names (mDNS) and other transports than UDP are passed over."""
        for candidate in candidates:
            try:
                host = ipaddress.ip_address(candidate.host)
            except ValueError:
                continue
            if candidate.transport != "udp" or not candidate.port or host.is_multicast or host.is_unspecified:
                continue
            for number, family in enumerate(self.families):
                if family == host.version:
                    self._check(Path(number, (str(host), candidate.port)), now)

    @property
    def restarting(self) -> bool:
        """The client has not checked with our newest credentials yet: it may never have been told them."""
        return self._before is not None

    def restart(self, remote: Credentials, now: float) -> None:
        """Begin anew with other credentials (RFC 8445 section 9); the path in use stays until there is another.

        However many restarts the client gets no answer to, the credentials it is known to use go on being valid.
        """
        self._before = self._before or _Generation(self.local, self.remote)
        self.local, self.remote = new_credentials(), remote
        self._checks.clear()
        self._nominated = False
        if self.selected is not None:
            self._check(self.selected, now)

    def received(self, data: bytes, path: Path, now: float) -> list[Datagram]:
        """Take a STUN message. Returns what to send. Raises `WireError` for what is none."""
        try:
            message = stun.parse_message(data)
        except Exception as error:  # noqa: BLE001 - the parser stumbles over malformed attributes in many ways
            raise WireError(f"not a STUN message: {error}") from None
        if message.message_method != stun.Method.BINDING:
            return []
        if message.message_class == stun.Class.REQUEST:
            return self._request(message, path, now)
        if message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR):
            self._response(message, path, now)
        return []

    def knows(self, address: Address) -> bool:
        """The client has proved to be there, by a check of its own or an answer to ours."""
        return address in self._proven

    def poll(self, now: float) -> list[Datagram]:
        """Checks that are due."""
        out = []
        for check in list(self._checks.values()):
            while check.made < len(_CHECKS_S) and now - check.since >= _CHECKS_S[check.made]:
                check.made += 1
                out.append(self._ask(check.path, now))
            if check.made == len(_CHECKS_S):
                del self._checks[check.path]
        if self.selected is not None and now - max(self.heard_at, self._asked_at + ASK_EVERY_S - QUIET_S) >= QUIET_S:
            self._asked_at = now
            out.append(self._ask(self.selected, now))
        return out

    @property
    def next_at(self) -> float:
        """When `poll` has something to do."""
        at = min((one.since + _CHECKS_S[one.made] for one in self._checks.values()), default=float("inf"))
        if self.selected is not None:
            at = min(at, max(self.heard_at + QUIET_S, self._asked_at + ASK_EVERY_S))
        return at

    def _request(self, message: stun.Message, path: Path, now: float) -> list[Datagram]:
        username = message.attributes.get("USERNAME", "")
        local = self._local_of(str(username).partition(":")[0])
        if local is None or not message.check_message_integrity(local.password.encode()):
            self.refused += 1
            code = (401, "Unauthenticated") if "MESSAGE-INTEGRITY" in message.attributes else (400, "Bad Request")
            return [Datagram(path, _error(message, code))]
        theirs = "ICE-CONTROLLING" if self.controlling else "ICE-CONTROLLED"
        if theirs in message.attributes:  # both want the same role, and ours follows from offer and answer
            return [Datagram(path, _error(message, (487, "Role Conflict"), local.password))]
        self.heard_at = now
        self._prove(path.address)
        if local is self.local:
            self._before = None
        answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, message.transaction_id)
        answer.attributes["XOR-MAPPED-ADDRESS"] = path.address
        answer.add_message_integrity(local.password.encode())
        out = [Datagram(path, bytes(answer))]
        if not self.controlling:
            # Media may take any path that works until the client has chosen one (RFC 8445 section 12.1.1).
            if "USE-CANDIDATE" in message.attributes:
                self._nominated, self.selected = True, path
            elif self.selected is None or (not self._nominated and local is self.local):
                self.selected = path
        if path not in self._checks and path != self.selected:
            self._check(path, now)
        elif path == self.selected and self.rtt_s is None and not self._unanswered:
            out.append(self._ask(path, now))
        return out

    def _response(self, message: stun.Message, path: Path, now: float) -> None:
        asked = self._unanswered.get(message.transaction_id)
        if asked is None:
            return
        if message.message_class == stun.Class.ERROR:
            del self._unanswered[message.transaction_id]
            return
        to, at, password = asked
        if to != path or not message.check_message_integrity(password.encode()):
            return
        del self._unanswered[message.transaction_id]
        self._checks.pop(path, None)
        self.heard_at, self.rtt_s = now, now - at
        self._prove(path.address)
        if self.controlling and self.selected is None:
            self.selected = path

    def _local_of(self, ufrag: str) -> Credentials | None:
        if hmac.compare_digest(ufrag.encode(), self.local.ufrag.encode()):
            return self.local
        if self._before is not None and hmac.compare_digest(ufrag.encode(), self._before.local.ufrag.encode()):
            return self._before.local
        return None

    def _prove(self, address: Address) -> None:
        self._proven[address] = None
        self._proven.move_to_end(address)
        if len(self._proven) > _MOST_PROVEN:
            self._proven.popitem(last=False)

    def _check(self, path: Path, now: float) -> None:
        if len(self._checks) < _MOST_CHECKED:
            self._checks.setdefault(path, _Check(path, now))

    def _ask(self, path: Path, now: float) -> Datagram:
        """A check of ours. Before the client uses new credentials it may not know them yet."""
        before = self._before
        local, remote = (self.local, self.remote) if before is None else (before.local, before.remote)
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{remote.ufrag}:{local.ufrag}"
        request.attributes["PRIORITY"] = _PRIORITY
        if self.controlling:
            request.attributes["ICE-CONTROLLING"] = self._tie_breaker
            request.attributes["USE-CANDIDATE"] = None
        else:
            request.attributes["ICE-CONTROLLED"] = self._tie_breaker
        request.add_message_integrity(remote.password.encode())
        self._unanswered[request.transaction_id] = (path, now, remote.password)
        while len(self._unanswered) > _MOST_UNANSWERED:
            self._unanswered.popitem(last=False)
        return Datagram(path, bytes(request))


def new_credentials() -> Credentials:
    """128 bits and more, as ICE wants of a password (RFC 8445 section 5.3)."""
    return Credentials(_random(8), _random(24))


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _error(request: stun.Message, code: tuple[int, str], password: str | None = None) -> bytes:
    answer = stun.Message(request.message_method, stun.Class.ERROR, request.transaction_id)
    answer.attributes["ERROR-CODE"] = code
    if password is None:
        answer.add_fingerprint()
    else:
        answer.add_message_integrity(password.encode())
    return bytes(answer)
