"""Where an agent lets itself be sent: nowhere by a gateway's uplink, and by a WHIP server never out of https. Whoever
answers for a gateway with a redirect to a page is a captive portal, and nobody is given a token in clear text.
"""

from types import SimpleNamespace
from urllib.parse import urljoin, urlsplit

import aiohttp

from fishladder.edge.gateway_address import GatewayAddress
from fishladder.wire.errors import UplinkError


def guarded(to: GatewayAddress, *, follow: bool) -> aiohttp.TraceConfig:
    """For a `ClientSession`'s `trace_configs`: a redirect that is not followed raises `UplinkError`, in one line."""

    async def redirected(
        session: aiohttp.ClientSession, context: SimpleNamespace, told: aiohttp.TraceRequestRedirectParams
    ) -> None:
        refuse(to, str(told.url), told.response.headers.get("Location", ""), told.response.status, follow=follow)

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(redirected)
    return trace


def refuse(to: GatewayAddress, url: str, location: str, status: int, *, follow: bool) -> None:
    """Raise `UplinkError` unless `location` is one to follow from `url`."""
    before, after = urlsplit(url), urlsplit(urljoin(url, location))
    where = f"{after.scheme}://{after.hostname}"  # what follows may be a secret
    if before.scheme in ("https", "wss") and after.scheme not in ("https", "wss"):
        raise UplinkError(
            f"gateway {to.url} was answered for with a redirect to {where} ({status}), out of TLS: refused; a captive "
            "portal?"
        )
    if not follow:
        raise UplinkError(
            f"gateway {to.url} was answered for with a redirect to {where} ({status}): a captive portal or a wrong "
            "address?"
        )
