"""A WHIP server's HTTP side (RFC 9725): a session is offered, and ended."""

import asyncio
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urljoin

import aiohttp
import structlog

from fishladder.edge.gateway_address import GatewayAddress, answered, explain, origin
from fishladder.edge.redirects import guarded
from fishladder.wire.errors import ConfigError, UplinkError

log = structlog.get_logger(__name__)

_SIGNAL_S = 15.0


class Posted(NamedTuple):
    """A session's URL, the answer to its offer, and the server's time of day (Unix seconds) if it says it."""

    resource: str
    answer: str
    server_s: float | None


def _date_s(date: str) -> float | None:
    try:
        at = parsedate_to_datetime(date)
    except ValueError:
        return None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def _http(to: GatewayAddress, url: str) -> aiohttp.ClientSession:
    """For requests to `url`; the token goes to nobody but whom it is for. Raises `ConfigError`."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=to.tls() if to.url.startswith("https") else True),
        timeout=aiohttp.ClientTimeout(total=_SIGNAL_S),
        trace_configs=[guarded(to, follow=True)],
        headers=to.headers() if origin(url, "whip") == origin(to.url, "whip") else {},
    )


async def post(to: GatewayAddress, url: str, offer: str) -> Posted:
    """Offer a session. Raises `UplinkError`, `AuthRefused`, `ConfigError`."""
    try:
        async with (
            _http(to, url) as http,
            http.post(
                url,
                data=offer,
                headers={"Content-Type": "application/sdp"},
                proxy=to.proxy.url if to.proxy else None,
                proxy_headers=to.proxy.headers if to.proxy else None,
            ) as response,
        ):
            text = (await response.content.read(65536)).decode(errors="replace")
            if response.status != 201:
                error = answered(response.status, response.content_type, to)
                said = text.strip().splitlines()[:1] if response.content_type == "text/plain" else []
                raise type(error)(f"{error}{': ' if said else ''}{''.join(said)[:200]}")
            if "v=0" not in text:
                raise UplinkError(f"{to.url} answered with something that is no SDP")
            resource = urljoin(str(response.url), response.headers.get("Location", ""))
            return Posted(resource, text, _date_s(response.headers.get("Date", "")))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise explain(error, to) from None


async def delete(to: GatewayAddress, resource: str) -> None:
    """Tell the other side; if it cannot be told it will notice by itself."""
    try:
        async with (
            asyncio.timeout(3),
            _http(to, resource) as http,
            http.delete(
                resource,
                proxy=to.proxy.url if to.proxy else None,
                proxy_headers=to.proxy.headers if to.proxy else None,
            ),
        ):
            pass
    except (aiohttp.ClientError, TimeoutError, OSError, ConfigError) as error:
        log.debug("could not end the whip session", server=to.url, error=type(error).__name__)
