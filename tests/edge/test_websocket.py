"""The agent's end of a connection: what it is told once it is closed is no error."""

import struct
from pathlib import Path

from support.gateways import gateway
from support.stores import wait_until

from fishladder.edge.gateway_address import GatewayAddress
from fishladder.edge.websocket import connect, looks_for_least_rtt
from fishladder.runtime.store import Stores


async def test_a_closed_connection_is_held_back_no_more(stores: Stores, tmp_path: Path) -> None:
    """Its socket is gone before whoever paces it hears of that."""
    async with gateway(tmp_path, stores.urls) as it:
        async with connect(GatewayAddress(it.url, token=it.token("shop"))) as link:
            link.hold_back(20_000)
        await wait_until(lambda: link._socket.fileno() < 0, 5, "the socket is closed")
        link.hold_back(30_000)


def test_bbr_looks_for_the_least_round_trip_where_both_gains_are_one() -> None:
    """As Linux wrote them: in its start-up, while it probes for the rate, for the round trip, and none at all."""
    gains = [(739, 739), (320, 512), (256, 512), (256, 256)]
    infos = [struct.pack("=IIIII", 1_750_000, 0, 21_840, *them) for them in gains]
    assert [looks_for_least_rtt(info) for info in infos] == [False, False, False, True]
    assert not looks_for_least_rtt(b"")
