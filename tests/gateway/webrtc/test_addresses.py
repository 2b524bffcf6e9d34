"""Which addresses are named, and from which ports."""

import socket

import pytest

from fishladder.gateway.webrtc.addresses import (
    Adapter,
    MediaSettings,
    candidates,
    open_sockets,
    ports_of,
    worth_naming,
)
from fishladder.gateway.webrtc.dtls import datagrams
from fishladder.wire.errors import ConfigError, UplinkError

HOST = [
    Adapter("lo", "127.0.0.1"),
    Adapter("lo", "::1"),
    Adapter("eth0", "192.0.2.7"),
    Adapter("eth0", "2001:db8::7"),
    Adapter("eth0", "fe80::1"),
    Adapter("docker0", "172.17.0.1"),
    Adapter("br-8f2a", "172.18.0.1"),
    Adapter("veth12", "169.254.1.1"),
]


def test_bridges_and_link_local_addresses_are_not_named() -> None:
    assert worth_naming(HOST, ipv6=True) == ["192.0.2.7", "2001:db8::7"]
    assert worth_naming(HOST, ipv6=False) == ["192.0.2.7"]


def test_what_is_there_is_named_where_there_is_nothing_better() -> None:
    assert worth_naming([HOST[0], HOST[5]], ipv6=True) == ["172.17.0.1"]
    assert worth_naming(HOST[:2], ipv6=True) == ["127.0.0.1", "::1"]


def test_announced_addresses_take_the_place_of_our_own() -> None:
    bound = [("10.0.0.3", 40_001), ("2001:db8::7", 40_001)]
    assert [line.split()[4:6] for line in candidates(bound, ())] == [["10.0.0.3", "40001"], ["2001:db8::7", "40001"]]
    assert [line.split()[4:6] for line in candidates(bound, ("203.0.113.5",))] == [["203.0.113.5", "40001"]]
    foundations = [line.split()[0] for line in candidates(bound, ())]
    assert len(set(foundations)) == 2


def test_ports_are_taken_from_the_range_until_there_are_none() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    settings = MediaSettings(udp_ports=f"{free}-{free}", addresses=("127.0.0.1",))
    [first] = open_sockets(settings)
    with first:
        assert first.getsockname()[1] == free
        assert first.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 256 * 1024
        with pytest.raises(UplinkError, match="no free UDP port"):
            open_sockets(settings)


@pytest.mark.parametrize("text", ["x", "0-9", "9-3", "1-70000", "1-", "-5"])
def test_bad_ranges_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="udp_ports"):
        MediaSettings(udp_ports=text if text != "1-" else "1-x").check()


def test_ranges() -> None:
    assert ports_of("40000-40002") == range(40_000, 40_003)
    assert ports_of("40000") == range(40_000, 40_001)


def test_a_flight_is_cut_between_records() -> None:
    def record(size: int) -> bytes:
        return b"\x16\xfe\xfd" + bytes(8) + size.to_bytes(2, "big") + b"x" * size

    flight = [record(size) for size in (500, 600, 100, 1100, 2000, 30)]
    cut = datagrams(b"".join(flight))
    assert b"".join(cut) == b"".join(flight)
    assert [len(one) for one in cut] == [1126, 113, 1113, 2013, 43]
