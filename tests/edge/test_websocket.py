"""The agent's end of a connection: what it is told once it is closed is no error."""

from pathlib import Path

from support.gateways import gateway
from support.stores import wait_until

from fishladder.edge.gateway_address import GatewayAddress
from fishladder.edge.websocket import connect
from fishladder.runtime.store import Stores


async def test_a_closed_connection_is_held_back_no_more(stores: Stores, tmp_path: Path) -> None:
    """Its socket is gone before whoever paces it hears of that."""
    async with gateway(tmp_path, stores.urls) as it:
        async with connect(GatewayAddress(it.url, token=it.token("shop"))) as link:
            link.hold_back(20_000)
        await wait_until(lambda: link._socket.fileno() < 0, 5, "the socket is closed")
        link.hold_back(30_000)
