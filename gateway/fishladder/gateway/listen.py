"""Where the gateway listens: the bound socket, made before anything else starts, so that a port in use is found first;
and how many files the process may open.
"""

import contextlib
import resource
import socket

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


def descriptors() -> None:
    """Let this process open as many files as it may: each connection is one, and the usual first limit is 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
