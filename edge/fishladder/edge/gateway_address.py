"""How to reach a gateway: its URL, the token, whom to trust, which proxy to go through. Shared by both uplinks and
`check`.
"""

import os
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import aiohttp
from yarl import URL

from fishladder.edge.logins import split, split_proxy, without_login
from fishladder.runtime.secret_files import read_secret
from fishladder.wire.errors import AuthRefused, ConfigError, FishladderError, UplinkDown, UplinkError


@dataclass(frozen=True, slots=True)
class Proxy:
    url: URL
    headers: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """`url` is http:// or https:// without a path. `token_file` is read at each connection, so tokens can change."""

    url: str
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    ca_file: Path | None = None
    proxy: Proxy | None = None

    def headers(self) -> dict[str, str]:
        """The Authorization header, if there is a token. Raises `ConfigError` when its file cannot be read."""
        token = read_secret(self.token_file, "token_file").strip() if self.token_file else self.token
        if not all("!" <= sign <= "~" for sign in token):
            raise ConfigError(f"{self.token_file or 'token'}: that is no token, which is one line without spaces")
        return {"Authorization": f"Bearer {token}"} if token else {}

    @property
    def in_clear(self) -> bool:
        """Whether what is said to it can be read on the way."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        try:
            here = host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            here = False
        return parts.scheme == "http" and not here

    @property
    def first_hop(self) -> tuple[str, int]:
        """Host and port that a connection is made to: its own, or the proxy's."""
        url = self.url if self.proxy is None else str(self.proxy.url)
        return origin(url, "gateway")[1:]

    def tls(self) -> ssl.SSLContext:
        """Raises `ConfigError` when the ca_file cannot be used."""
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"ca_file {self.ca_file}: {error.strerror or error}") from None


def address(
    url: str,
    *,
    token: str = "",
    token_file: Path | None = None,
    ca_file: Path | None = None,
    proxy: str = "",
    env: Mapping[str, str] | None = None,
    needs_token: bool = True,
) -> GatewayAddress:
    """Check what the user gave. `proxy` wins over HTTPS_PROXY, which is used unless NO_PROXY names the gateway; "none"
    turns both off. Raises `ConfigError`.
    """
    expected = f"gateway {without_login(url)!r}: expected https://HOST:PORT (or http://), nothing after it"
    if not url.startswith(("http://", "https://")):
        raise ConfigError(expected)
    parts = split(url, "gateway")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError(expected)
    if needs_token and not (token or token_file):
        raise ConfigError("no token: set token_file (or token), made by `fishladder token create`")
    through = proxy or _from_environment(parts, os.environ if env is None else env)
    if through in ("", "none"):
        return GatewayAddress(url.rstrip("/"), token, token_file, ca_file)
    if parts.scheme == "http":
        raise ConfigError(
            "a proxy is only used for https:// gateways: it is asked to CONNECT, which plain http has not"
        )
    return GatewayAddress(url.rstrip("/"), token, token_file, ca_file, _proxy(through))


def origin(url: str, what: str) -> tuple[str, str, int]:
    """Scheme, host and port: who is given a token. Raises `ConfigError`."""
    parts = split(url, what)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _from_environment(gateway: SplitResult, env: Mapping[str, str]) -> str:
    if gateway.scheme != "https":
        return ""
    host = gateway.hostname or ""
    for pattern in (env.get("no_proxy") or env.get("NO_PROXY") or "").lower().split(","):
        name = pattern.strip().removeprefix("*.").removeprefix(".")
        if name and (name in ("*", host, f"{host}:{gateway.port or 443}") or host.endswith(f".{name}")):
            return ""
    return env.get("https_proxy") or env.get("HTTPS_PROXY") or env.get("all_proxy") or env.get("ALL_PROXY") or ""


def _proxy(url: str) -> Proxy:
    if "://" not in url:
        url = f"http://{url}"
    parts = split_proxy(url)
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    if parts.scheme not in ("http", "https"):
        raise ConfigError(f"proxy {without_login(url)!r}: only http:// and https:// proxies are supported")
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
    return Proxy(URL(shown.geturl()), headers)


def explain(error: Exception, to: GatewayAddress) -> FishladderError:
    """What a failed connection means, in one line that names the gateway."""
    where = f"gateway {to.url}"
    match error:
        case FishladderError():
            return error
        case aiohttp.ClientHttpProxyError():
            return UplinkError(f"proxy {_shown(to)} refuses to connect to {where}: {error.status} {error.message}")
        case aiohttp.ClientProxyConnectionError():
            return UplinkDown(f"proxy {_shown(to)} cannot be reached: {error.strerror or error}")
        case aiohttp.ClientResponseError():
            return answered(error.status, error.headers.get("Content-Type", "") if error.headers else "", to)
        case aiohttp.ClientConnectorCertificateError():
            return UplinkError(
                f"{where}: its TLS certificate is not trusted ({error.certificate_error}); "
                "if it is your own, name its CA with ca_file; captive portals show such certificates too"
            )
        case aiohttp.ClientConnectorDNSError():
            return UplinkDown(f"{where}: its name cannot be resolved")
        case aiohttp.ClientConnectorError():
            return UplinkDown(f"{where} cannot be reached: {error.strerror or error.os_error}")
        case aiohttp.ClientConnectionError():
            return UplinkDown(f"{where}: the connection was lost: {error or type(error).__name__}")
        case TimeoutError():
            return UplinkDown(f"{where}: no answer in time")
        case _:
            return UplinkError(f"{where}: {error or type(error).__name__}")


def answered(status: int, content_type: str, to: GatewayAddress) -> UplinkError:
    """What an HTTP answer that is not the wanted one means."""
    if status in (401, 403):
        what = "does not accept this token" if status == 401 else "does not allow this site or camera to this token"
        return AuthRefused(
            f"gateway {to.url} {what} ({status}): make one with `fishladder token create --site SITE` "
            "and put it where token_file points"
        )
    if "html" in content_type and status < 500:
        return UplinkError(
            f"gateway {to.url} was answered for by a web page ({status}): a captive portal or a wrong address?"
        )
    if status == 404:
        return UplinkError(f"gateway {to.url} has no uplink (404): is that the gateway's address?")
    return UplinkError(f"gateway {to.url} answered {status}")


def _shown(to: GatewayAddress) -> str:
    return str(to.proxy.url) if to.proxy else ""
