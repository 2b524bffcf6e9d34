"""Where the gateway listens: the bound socket and its TLS. Made before anything else starts, so that a port in use or a
certificate that will not do is found first.
"""

import socket
import ssl

from fishladder.gateway.config import GatewaySettings
from fishladder.wire.errors import ConfigError


def bind(settings: GatewaySettings, *, shared: bool = False) -> socket.socket:
    """A bound socket, not yet listening; `shared` with other processes of ours. Raises `ConfigError`."""
    try:
        [(family, kind, proto, _, address), *_] = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        bound = socket.socket(family, kind, proto)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind(address)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        raise ConfigError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from None
    return bound


def tls_context(settings: GatewaySettings) -> ssl.SSLContext | None:
    """None without --tls-cert. Raises `ConfigError` naming the files."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"--tls-cert {settings.tls_cert}, --tls-key {settings.tls_key}: {error}") from None
    return context
