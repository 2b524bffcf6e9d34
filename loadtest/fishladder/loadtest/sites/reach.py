"""Whether a stack of the user's own can be reached at all, which is asked before anything that takes long."""

from fishladder.edge.check import check_stream
from fishladder.edge.gateway_address import GatewayAddress
from fishladder.loadtest.errors import NotReachable


async def insist(to: GatewayAddress) -> None:
    """Go to it as an agent does, and leave. Raises `NotReachable`, which says what was in the way; `ConfigError`."""
    async for finding in check_stream(to):
        if finding.level == "FAIL":
            raise NotReachable(finding.detail)
