"""Reads SDP as WHIP clients write it: offers, and the fragments of trickle ICE (RFC 8840). Pure, and forgiving in all
that does not matter here; what is missing or makes no sense is a `WireError` that says so. What to answer is `answer`.
"""

import re
from dataclasses import dataclass, field

from fishladder.wire.errors import WireError

MOST_LINES, MOST_LINE_BYTES, MOST_MEDIA = 4096, 8192, 32
MOST_CANDIDATES = 64
#: No number that matters here has more digits.
MOST_NUMBER = 9_999_999_999
_ICE_CHARS = re.compile(r"[A-Za-z0-9+/=\-_#*.:~!$%&'()@^{}|]{1,256}")
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_SETUPS = ("actpass", "active", "passive", "holdconn")


@dataclass(frozen=True, slots=True)
class Credentials:
    ufrag: str
    password: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """`host` may be a name (mDNS); `transport` is lower case."""

    transport: str
    host: str
    port: int


@dataclass(slots=True)
class Format:
    """A payload type: `name` in upper case, `parameters` with lower-case names."""

    payload_type: int
    name: str = ""
    clock_hz: int = 0
    channels: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    feedback: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Media:
    kind: str
    port: int
    protocol: str
    formats: list[str]
    mid: str | None = None
    direction: str = "sendrecv"
    codecs: dict[int, Format] = field(default_factory=dict)
    extensions: dict[str, int] = field(default_factory=dict)  #: URI -> id
    ssrcs: list[int] = field(default_factory=list)
    groups: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    rids: dict[str, str] = field(default_factory=dict)  #: those that are sent -> their restrictions
    simulcast: tuple[str, ...] = ()  #: rids the client would send, in its order
    ufrag: str | None = None
    password: str | None = None
    fingerprints: list[tuple[str, str]] = field(default_factory=list)
    setup: str | None = None
    candidates: list[Candidate] = field(default_factory=list)
    rtcp_mux: bool = False
    reduced: bool = False
    bundle_only: bool = False
    msid: str | None = None

    @property
    def rejected(self) -> bool:
        """The client itself has no use for it."""
        return self.port == 0 and not self.bundle_only


@dataclass(slots=True)
class Offer:
    media: list[Media]
    bundle: tuple[str, ...] = ()
    ice_lite: bool = False


@dataclass(frozen=True, slots=True)
class Fragment:
    """What a trickled fragment says. `credentials` None: those it began with."""

    credentials: Credentials | None
    candidates: tuple[Candidate, ...]
    ended: bool


def read_offer(text: str) -> Offer:
    """Raises `WireError`."""
    lines = _lines(text)
    if not lines or lines[0] != ("v", "0"):
        raise WireError("this is no SDP: it does not begin with v=0")
    session = Media("session", 0, "", [])
    offer = Offer([])
    current = session
    for kind, value in lines[1:]:
        if kind == "m":
            if len(offer.media) == MOST_MEDIA:
                raise WireError(f"more than {MOST_MEDIA} m= lines")
            current = _media(value)
            current.ufrag, current.password, current.setup = session.ufrag, session.password, session.setup
            current.fingerprints, current.direction = list(session.fingerprints), session.direction
            offer.media.append(current)
        elif kind == "a":
            name, _, rest = value.partition(":")
            if current is session and name == "group" and rest.split()[:1] == ["BUNDLE"]:
                offer.bundle = tuple(rest.split()[1:])
            elif name == "ice-lite":
                offer.ice_lite = True
            else:
                _attribute(current, name, rest.strip())
    if not offer.media:
        raise WireError("the offer has no m= line: there is nothing to send")
    mids = [media.mid for media in offer.media if media.mid is not None]
    if len(set(mids)) != len(mids):
        raise WireError("two m= lines have the same mid")
    return offer


def read_fragment(text: str) -> Fragment:
    """Raises `WireError`."""
    ufrag = password = None
    candidates: list[Candidate] = []
    ended = found = False
    for kind, value in _lines(text):
        name, _, rest = value.partition(":")
        if kind == "a" and name == "ice-ufrag":
            ufrag, found = _ice_chars(rest.strip(), "ice-ufrag"), True
        elif kind == "a" and name == "ice-pwd":
            password, found = _ice_chars(rest.strip(), "ice-pwd"), True
        elif kind == "a" and name == "candidate":
            if (candidate := read_candidate(rest)) is not None and len(candidates) < MOST_CANDIDATES:
                candidates.append(candidate)
            found = True
        elif kind == "a" and name == "end-of-candidates":
            ended = found = True
    if not found:
        raise WireError("the fragment has neither candidates nor ICE credentials")
    if (ufrag is None) != (password is None):
        raise WireError("the fragment has half of ICE's credentials: ice-ufrag and ice-pwd go together")
    credentials = Credentials(ufrag, password) if ufrag is not None and password is not None else None
    return Fragment(credentials, tuple(candidates), ended)


def read_candidate(text: str) -> Candidate | None:
    """A candidate; None if it is of another component. Raises `WireError` for what is none."""
    words = text.split()
    if len(words) < 8 or words[6] != "typ":
        raise WireError(f"not a candidate: {text[:80]!r}")
    component = read_number(words[1], MOST_NUMBER, "component of a candidate")
    read_number(words[3], MOST_NUMBER, "priority of a candidate")
    port = read_number(words[5], 65535, "port of a candidate")
    return Candidate(words[2].lower(), words[4], port) if component == 1 else None


def _lines(text: str) -> list[tuple[str, str]]:
    """`x=value` lines. Raises `WireError`."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if len(found) >= MOST_LINES or len(line) > MOST_LINE_BYTES:
            raise WireError(f"more than {MOST_LINES} lines, or one of more than {MOST_LINE_BYTES} characters")
        if not line.strip():
            continue
        if len(line) < 2 or line[1] != "=" or not line[0].isalpha():
            raise WireError(f"not a line of SDP: {line[:80]!r}")
        found.append((line[0], line[2:].strip()))
    return found


def _media(value: str) -> Media:
    words = value.split()
    if len(words) < 4:
        raise WireError(f"not an m= line: {value[:80]!r}")
    port = read_number(words[1].partition("/")[0], 65535, "port in an m= line")
    media = Media(words[0], port, words[2], words[3:])
    if media.kind in ("audio", "video"):
        for word in media.formats:
            number = read_number(word, 127, "payload type")
            media.codecs[number] = Format(number)
    return media


def _attribute(media: Media, name: str, rest: str) -> None:
    match name:
        case "mid":
            if not rest or not rest.isprintable() or " " in rest or len(rest) > 64:
                raise WireError(f"not a mid: {rest[:80]!r}")
            media.mid = rest
        case "ice-ufrag":
            media.ufrag = _ice_chars(rest, name)
        case "ice-pwd":
            media.password = _ice_chars(rest, name)
        case "fingerprint":
            words = rest.split()
            if len(words) != 2:
                raise WireError(f"not a fingerprint: {rest[:80]!r}")
            media.fingerprints.append((words[0].lower(), words[1].upper()))
        case "setup":
            if rest not in _SETUPS:
                raise WireError(f"setup:{rest[:40]} is none of {', '.join(_SETUPS)}")
            media.setup = rest
        case "candidate":
            if (candidate := read_candidate(rest)) is not None and len(media.candidates) < MOST_CANDIDATES:
                media.candidates.append(candidate)
        case "rtcp-mux":
            media.rtcp_mux = True
        case "rtcp-rsize":
            media.reduced = True
        case "bundle-only":
            media.bundle_only = True
        case "msid":
            media.msid = rest
        case "extmap":
            words = rest.split()
            if len(words) < 2:
                raise WireError(f"not an extmap: {rest[:80]!r}")
            media.extensions[words[1]] = read_number(words[0].partition("/")[0], 255, "extension id")
        case "ssrc":
            ssrc = read_number(rest.partition(" ")[0], 0xFFFFFFFF, "ssrc")
            if ssrc not in media.ssrcs:
                media.ssrcs.append(ssrc)
        case "ssrc-group":
            words = rest.split()
            if words:
                media.groups.append((words[0], tuple(read_number(word, 0xFFFFFFFF, "ssrc") for word in words[1:])))
        case "rid":
            words = rest.split(None, 2)
            if len(words) >= 2 and words[1] == "send":
                media.rids[words[0]] = words[2] if len(words) > 2 else ""
        case "simulcast":
            media.simulcast = _simulcast(rest)
        case "rtpmap" | "fmtp" | "rtcp-fb":
            _format(media, name, rest)
        case _ if name in _DIRECTIONS:
            media.direction = name


def _format(media: Media, name: str, rest: str) -> None:
    which, _, value = rest.partition(" ")
    if name == "rtcp-fb" and which == "*":
        for known in media.codecs.values():
            known.feedback.add(value.strip())
        return
    codec = media.codecs.get(read_number(which, 127, "payload type"))
    if codec is None:
        return  # a payload type the m= line does not list is not offered
    if name == "rtpmap":
        words = value.strip().split("/")
        codec.name = words[0].upper()
        codec.clock_hz = read_number(words[1] if len(words) > 1 else "", 1_000_000, "clock rate")
        codec.channels = words[2] if len(words) > 2 else ""
    elif name == "fmtp":
        for one in value.split(";"):
            key, _, setting = one.strip().partition("=")
            if key:
                codec.parameters[key.strip().lower()] = setting.strip()
    else:
        codec.feedback.add(value.strip())


def _simulcast(rest: str) -> tuple[str, ...]:
    """The first alternative of each stream the client would send (RFC 8853); paused ones too."""
    words = rest.split()
    for at in range(0, len(words) - 1, 2):
        if words[at] == "send":
            streams = words[at + 1].split(";")
            return tuple(one for stream in streams if (one := stream.split(",")[0].lstrip("~")))
    return ()


def read_number(text: str, most: int, what: str) -> int:
    """Raises `WireError` for what is none, or has more digits than any number in SDP: Python's own reading of one has a
    limit at which it fails.
    """
    if not text.isascii() or not text.isdigit() or len(text) > len(str(MOST_NUMBER)) or int(text) > most:
        raise WireError(f"not a {what}: {text[:20]!r}")
    return int(text)


def _ice_chars(text: str, what: str) -> str:
    if not _ICE_CHARS.fullmatch(text):
        raise WireError(f"{what} is not what ICE allows: {text[:40]!r}")
    return text
