"""What to answer an offer: which codecs, which retransmissions, which congestion control, and the SDP that says so.
Pure; what there is to send from (addresses, credentials, fingerprints) is handed in.
"""

import base64
import binascii
from dataclasses import dataclass, field

from fishladder.gateway.webrtc import rtp
from fishladder.gateway.webrtc.agreed import Parameters
from fishladder.gateway.webrtc.sdp import MOST_NUMBER, Candidate, Credentials, Format, Media, Offer, read_number
from fishladder.wire.bitstream.annexb import START_CODE
from fishladder.wire.errors import WireError
from fishladder.wire.unit import Codec

_CODECS = {"H264": Codec.H264, "VP8": Codec.VP8}
_CLOCK_HZ = 90_000
_DIGESTS = ("sha-256", "sha-384", "sha-512")
_SENDING = ("sendonly", "sendrecv")
_TRANSPORT_CC, _REMB = "transport-cc", "goog-remb"
_FEEDBACK = ("nack", "nack pli")
#: Names by which senders tell their encodings apart, the largest first. Full, high, half, medium, quarter, low.
_LARGEST_FIRST = ("f", "full", "h", "high", "hi", "m", "medium", "med", "mid", "q", "quarter", "l", "low", "lo")


class CannotServe(WireError):
    """The offer is well-formed, but nothing we can take."""


@dataclass(frozen=True, slots=True)
class Transport:
    """How the client is reached, and who it has to prove to be."""

    credentials: Credentials
    candidates: tuple[Candidate, ...]
    fingerprints: tuple[tuple[str, str], ...]
    setup: str
    ice_lite: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What was agreed on. `passive`: the client begins the DTLS handshake."""

    transport: Transport
    parameters: Parameters
    passive: bool
    parameter_sets: bytes  #: H.264's, from beside the stream, with start codes
    offer: Offer = field(repr=False)
    video: Media = field(repr=False)
    audio: Media | None = field(repr=False)
    formats: tuple[Format, ...] = field(repr=False)
    bundle: tuple[str, ...] = ()
    extensions: tuple[tuple[int, str], ...] = ()
    rid: str = ""

    @property
    def audio_types(self) -> frozenset[int]:
        """Payload types that are audio and nothing else."""
        return frozenset(self.audio.codecs) - frozenset(self.video.codecs) if self.audio else frozenset()


def plan(offer: Offer) -> Plan:
    """Raises `CannotServe` saying what is in the way, `WireError` for what makes no sense."""
    video, audio = _one(offer, "video"), _one(offer, "audio")
    if video is None:
        sends = " and ".join(sorted({media.kind for media in offer.media if not media.rejected})) or "nothing"
        raise CannotServe(f"the offer sends no video (it has {sends[:80]})")
    if video.direction not in _SENDING:
        raise CannotServe(f"the offer's video is {video.direction}: it has to be sendonly")
    mids = [media.mid for media in offer.media if media.mid is not None]
    bundle = tuple(mid for mid in offer.bundle if mid in mids)
    if audio is not None and (audio.mid not in bundle or video.mid not in bundle):
        audio = None  # without BUNDLE it would need a transport of its own
    transport = _transport(offer, video, bundle)
    formats = _formats(video)
    if not formats:
        offered = ", ".join(sorted({one.name or str(one.payload_type) for one in video.codecs.values()})[:10])
        raise CannotServe(f"no video codec in common: this gateway takes H.264 and VP8, the offer has {offered}")
    rid = largest(video) if video.simulcast else ""
    parameters, extensions = _parameters(video, formats, rid)
    return Plan(
        transport=transport,
        parameters=parameters,
        passive=transport.setup != "passive",
        parameter_sets=_parameter_sets(formats),
        offer=offer,
        video=video,
        audio=audio,
        formats=formats,
        bundle=bundle,
        extensions=extensions,
        rid=rid,
    )


def largest(video: Media) -> str:
    """The rid of the largest encoding offered. By its size where that is said, else by its name, else the first."""

    def rank(rid: str) -> tuple[int, int, int]:
        limits = dict(part.partition("=")[::2] for part in video.rids.get(rid, "").split(";"))
        size = max(
            (
                read_number(limits[key], MOST_NUMBER, key)
                for key in ("max-width", "max-fs", "max-br")
                if limits.get(key, "").isdecimal()
            ),
            default=0,
        )
        name = rid.lower()
        known = _LARGEST_FIRST.index(name) if name in _LARGEST_FIRST else len(_LARGEST_FIRST)
        return -size, known, video.simulcast.index(rid)

    return min(video.simulcast, key=rank)


def _one(offer: Offer, kind: str) -> Media | None:
    found = [media for media in offer.media if media.kind == kind and not media.rejected]
    if len(found) > 1:
        raise CannotServe(f"the offer has {len(found)} {kind} tracks: WHIP carries one of a kind (RFC 9725, 4.4.2)")
    return found[0] if found else None


def _transport(offer: Offer, video: Media, bundle: tuple[str, ...]) -> Transport:
    """A bundle's transport may be described in its first section only."""
    sections = [video]
    if video.mid in bundle:
        by_mid = {media.mid: media for media in offer.media}
        sections += [by_mid[mid] for mid in bundle if by_mid[mid] is not video]
    ufrag = next((one.ufrag for one in sections if one.ufrag), None)
    password = next((one.password for one in sections if one.password), None)
    if ufrag is None or password is None:
        raise CannotServe("the offer has no ICE credentials (a=ice-ufrag and a=ice-pwd)")
    fingerprints = next((tuple(one.fingerprints) for one in sections if one.fingerprints), ())
    if not any(kind in _DIGESTS for kind, _ in fingerprints):
        raise CannotServe("the offer has no DTLS fingerprint that can be checked (sha-256, sha-384 or sha-512)")
    if not any(one.rtcp_mux for one in sections):
        raise CannotServe("the offer has no a=rtcp-mux: RTP and RTCP have to share a port")
    setup = next((one.setup for one in sections if one.setup), "actpass")
    if setup == "holdconn":
        raise CannotServe("the offer says setup:holdconn: there is nothing to connect to")
    candidates = tuple(one for section in sections for one in section.candidates)
    return Transport(Credentials(ufrag, password), candidates, fingerprints, setup, offer.ice_lite)


def _formats(video: Media) -> tuple[Format, ...]:
    """What we take of the offered, each with its retransmissions, in the client's order."""
    taken: list[Format] = []
    for number in video.codecs:
        one = video.codecs[number]
        if one.name not in _CODECS or one.clock_hz != _CLOCK_HZ:
            continue
        if one.name == "H264" and one.parameters.get("packetization-mode", "0") not in ("0", "1"):
            continue
        taken.append(one)
        taken += [
            rtx for rtx in video.codecs.values() if rtx.name == "RTX" and rtx.parameters.get("apt") == str(number)
        ][:1]
    return tuple(taken)


def _parameters(video: Media, formats: tuple[Format, ...], rid: str) -> tuple[Parameters, tuple[tuple[int, str], ...]]:
    main = [one for one in formats if one.name != "RTX"]
    transport_cc = video.extensions.get(rtp.TRANSPORT_CC, 0)
    if not all(_TRANSPORT_CC in one.feedback for one in main):
        transport_cc = 0
    remb = all(_REMB in one.feedback for one in main)
    ids = {
        rtp.MID: video.extensions.get(rtp.MID, 0),
        rtp.TRANSPORT_CC: transport_cc,
        rtp.ABS_SEND_TIME: video.extensions.get(rtp.ABS_SEND_TIME, 0) if remb else 0,
        rtp.RID: video.extensions.get(rtp.RID, 0) if rid else 0,
        rtp.REPAIRED_RID: video.extensions.get(rtp.REPAIRED_RID, 0) if rid else 0,
    }
    repeats = {again: group[0] for kind, group in video.groups if kind == "FID" for again in group[1:]}
    encodings, others = _ssrcs(video, repeats, rid)
    parameters = Parameters(
        codecs={one.payload_type: _CODECS[one.name] for one in main},
        rtx={one.payload_type: int(one.parameters["apt"]) for one in formats if one.name == "RTX"},
        ssrc=encodings[0] if encodings else None,
        others=others,
        encodings=encodings,
        repeats=repeats,
        transport_cc=ids[rtp.TRANSPORT_CC],
        abs_send_time=ids[rtp.ABS_SEND_TIME],
        rid=ids[rtp.RID],
        wanted_rid=rid,
        remb=remb,
        reduced=video.reduced,
    )
    return parameters, tuple(sorted((number, uri) for uri, number in ids.items() if number))


def _ssrcs(video: Media, repeats: dict[int, int], rid: str) -> tuple[tuple[int, ...], frozenset[int]]:
    """The ssrcs of its encodings that are told, the largest first, and those of what is none.

    A SIM group goes from the smallest encoding to the largest. Where there are rids, those tell encodings apart.
    """
    simulcast = [ssrc for kind, group in video.groups if kind == "SIM" and not rid for ssrc in group[::-1]]
    told = [ssrc for ssrc in simulcast or video.ssrcs if ssrc not in repeats]
    return tuple(dict.fromkeys(told if simulcast else told[:1])), frozenset(repeats)


def _parameter_sets(formats: tuple[Format, ...]) -> bytes:
    """`sprop-parameter-sets` of the first H.264 format that has any; what is no base64 says nothing."""
    for one in formats:
        if one.name == "H264" and (told := one.parameters.get("sprop-parameter-sets")):
            try:
                nals = [base64.b64decode(part, validate=True) for part in told.split(",") if part]
            except (binascii.Error, ValueError):
                continue
            return b"".join(START_CODE + nal for nal in nals if 0 < len(nal) < 1024)
    return b""


def write_answer(
    it: Plan, *, session: int, local: Credentials, fingerprints: list[tuple[str, str]], candidates: list[str], ssrc: int
) -> str:
    """The SDP. `candidates` as they stand behind `a=candidate:`."""
    lines = ["v=0", f"o=- {session} 1 IN IP4 0.0.0.0", "s=-", "t=0 0"]
    kept = {media.mid for media in (it.video, it.audio) if media is not None}
    members = [mid for mid in it.bundle if mid in kept]
    if members:
        lines.append(f"a=group:BUNDLE {' '.join(members)}")
    lines.append("a=ice-options:ice2")
    for media in it.offer.media:
        if media is it.video:
            lines += [f"m=video 9 {media.protocol} {' '.join(str(one.payload_type) for one in it.formats)}"]
        elif media is it.audio:
            lines += [f"m=audio 9 {media.protocol} {_voice(media).payload_type}"]
        else:
            lines += [f"m={media.kind} 0 {media.protocol} {' '.join(media.formats)}", "c=IN IP4 0.0.0.0"]
            lines += [f"a=mid:{media.mid}"] if media.mid is not None else []
            lines.append("a=inactive")
            continue
        lines += ["c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0"]
        lines += [f"a=mid:{media.mid}"] if media.mid is not None else []
        lines += [f"a=ice-ufrag:{local.ufrag}", f"a=ice-pwd:{local.password}"]
        lines += [f"a=fingerprint:{kind} {value}" for kind, value in fingerprints]
        direction = "recvonly" if media.direction in _SENDING else "inactive"
        lines += [f"a=setup:{'passive' if it.passive else 'active'}", f"a={direction}", "a=rtcp-mux"]
        lines += ["a=rtcp-rsize"] if media.reduced else []
        lines += _video_lines(it, ssrc) if media is it.video else _voice_lines(media)
        if not members or media.mid == members[0]:
            lines += [f"a=candidate:{one}" for one in candidates]
            lines.append("a=end-of-candidates")
    return "\r\n".join(lines) + "\r\n"


def _video_lines(it: Plan, ssrc: int) -> list[str]:
    lines = [f"a=extmap:{number} {uri}" for number, uri in it.extensions]
    for one in it.formats:
        number = one.payload_type
        lines.append(f"a=rtpmap:{number} {one.name if one.name != 'RTX' else 'rtx'}/{one.clock_hz}")
        if one.name == "RTX":
            lines.append(f"a=fmtp:{number} apt={one.parameters['apt']}")
            continue
        wanted = [
            *_FEEDBACK,
            *([_TRANSPORT_CC] if it.parameters.transport_cc else []),
            *([_REMB] if it.parameters.remb else []),
        ]
        lines += [f"a=rtcp-fb:{number} {told}" for told in wanted if told in one.feedback]
        told = {key: value for key, value in one.parameters.items() if key != "sprop-parameter-sets"}
        if told:
            lines.append(f"a=fmtp:{number} " + ";".join(f"{k}={v}" if v else k for k, v in told.items()))
    if it.rid:
        lines += [f"a=rid:{it.rid} recv", f"a=simulcast:recv {it.rid}"]
    return [*lines, f"a=ssrc:{ssrc} cname:fishladder"]


def _voice(audio: Media) -> Format:
    """What audio is answered with, to be discarded: Opus if there is any."""
    named = [one for one in audio.codecs.values() if one.name]
    return next((one for one in named if one.name == "OPUS"), next(iter(named or audio.codecs.values())))


def _voice_lines(audio: Media) -> list[str]:
    one = _voice(audio)
    if not one.name:
        return []  # a static payload type needs no words
    name = "opus" if one.name == "OPUS" else one.name
    lines = [f"a=rtpmap:{one.payload_type} {name}/{one.clock_hz}" + (f"/{one.channels}" if one.channels else "")]
    if one.parameters:
        told = ";".join(f"{key}={value}" if value else key for key, value in one.parameters.items())
        lines.append(f"a=fmtp:{one.payload_type} {told}")
    return lines
