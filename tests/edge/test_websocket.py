"""The agent's end of a connection: what it is told once it is closed is no error."""

import struct
from pathlib import Path

from support.gateways import gateway
from support.stores import wait_until

from fishladder.edge.gateway_address import GatewayAddress
from fishladder.edge.websocket import connect, looks_for_least_rtt
from fishladder.runtime.store import Stores
from fishladder.wire.messages import Hello, Probe, encode


async def test_a_closed_connection_is_held_back_no_more(stores: Stores, tmp_path: Path) -> None:
    """Its socket is gone before whoever paces it hears of that."""
    async with gateway(tmp_path, stores.urls) as it:
        async with connect(GatewayAddress(it.url, token=it.token("shop"))) as link:
            link.hold_back(20_000)
        await wait_until(lambda: link._socket.fileno() < 0, 5, "the socket is closed")
        link.hold_back(30_000)


async def test_what_is_sent_at_once_shares_a_packet(stores: Stores, tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, stores.urls) as it,
        connect(GatewayAddress(it.url, token=it.token("shop"))) as link,
    ):
        hello = encode(Hello((1, 1), "boot-1", 1))
        await link.send(hello)
        assert "welcome" in await link.receive()

        def carried() -> int:
            found = link.carried()
            assert found is not None
            return found.up_bytes

        probe = encode(Probe(1))
        before = carried()
        for _ in range(8):
            await link.send(probe, more=True)
        assert carried() == before, "they wait for each other"
        link.flush()
        await wait_until(lambda: carried() > before, 5, "they are sent")


async def test_what_came_through_is_known_and_that_nothing_is_on_its_way(stores: Stores, tmp_path: Path) -> None:
    """By TCP, of which nobody has to wait for the end of a unit."""
    async with (
        gateway(tmp_path, stores.urls) as it,
        connect(GatewayAddress(it.url, token=it.token("shop"))) as link,
    ):
        await link.send(encode(Hello((1, 1), "boot-1", 1)))
        assert "welcome" in await link.receive()
        await wait_until(lambda: not link.state().in_flight, 5, "all of it is acknowledged")
        before = link.state().delivered_bytes
        assert before is not None
        await link.send(encode(Probe(1)))
        await wait_until(lambda: (link.state().delivered_bytes or 0) > before, 5, "it is counted")
        await wait_until(lambda: not link.state().in_flight, 5, "and nothing is on its way")


def test_bbr_looks_for_the_least_round_trip_where_both_gains_are_one() -> None:
    """As Linux wrote them: in its start-up, while it probes for the rate, for the round trip, and none at all."""
    gains = [(739, 739), (320, 512), (256, 512), (256, 256)]
    infos = [struct.pack("=IIIII", 1_750_000, 0, 21_840, *them) for them in gains]
    assert [looks_for_least_rtt(info) for info in infos] == [False, False, False, True]
    assert not looks_for_least_rtt(b"")
