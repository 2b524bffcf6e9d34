"""What comes out of its encryption is what was put in, and what is forged, repeated or too long is nothing."""

import struct

import pylibsrtp
import pytest
from pylibsrtp import Policy, Session
from support.rtp import rtp

from fishladder.gateway.webrtc import srtp
from fishladder.gateway.webrtc.srtp import Decrypt, check_pylibsrtp
from fishladder.wire.errors import ConfigError

PROFILES = (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
REPORT = struct.pack(">BBHI", 0x80, 201, 1, 7)


def pair(profile: int) -> tuple[Session, Decrypt]:
    key = bytes(range(30))
    kinds = (Policy.SSRC_ANY_OUTBOUND, Policy.SSRC_ANY_INBOUND)
    sends, takes = (Session(Policy(key=key, ssrc_type=kind, srtp_profile=profile)) for kind in kinds)
    return sends, Decrypt(takes)


@pytest.mark.parametrize("profile", PROFILES)
def test_packets_come_out_as_they_were_put_in(profile: int) -> None:
    sends, takes = pair(profile)
    for number in range(300):
        packet = rtp(number, 0, bytes((number & 255,)) * (number * 4 + 1))
        assert takes.packet(sends.protect(packet), control=False) == packet
        assert takes.packet(sends.protect_rtcp(REPORT), control=True) == REPORT


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_forged_repeated_cut_off_or_too_long_is_nothing(profile: int) -> None:
    sends, takes = pair(profile)
    first, second, third = (sends.protect(rtp(number, 0, b"payload")) for number in range(3))
    assert takes.packet(first, control=False) is not None
    for bad in (first, second[:-1] + bytes((second[-1] ^ 1,)), second[:20], b"\x80", b"", second * 100, bytes(65_536)):
        assert takes.packet(bad, control=False) is None
        assert takes.packet(bad, control=True) is None
    for good in (second, third):
        assert takes.packet(good, control=False) is not None, "nothing of that has harmed it"


def test_a_pylibsrtp_without_what_is_used_of_it_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    check_pylibsrtp()
    monkeypatch.setattr(srtp, "_unprotect", None)
    with pytest.raises(ConfigError, match=pylibsrtp.__name__):
        check_pylibsrtp()
