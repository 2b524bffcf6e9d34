"""From where media is received: which of this machine's addresses are worth naming, which port of the range is free,
and what is said of it in SDP. Sockets get large buffers, since a keyframe comes as one burst.
"""

import ipaddress
import secrets
import socket
from dataclasses import dataclass

import ifaddr
import msgspec

from fishladder.wire.errors import ConfigError, UplinkError

#: Bridges and pairs of containers and virtual machines: nobody outside reaches them.
_INNER = ("docker", "br-", "veth", "virbr", "vnet", "cni", "flannel", "cali", "podman", "lxc", "lxd", "tunl")


class MediaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gateway.media]` of the settings file."""

    udp_ports: str = ""  #: "40000-40999"; empty is any free port
    addresses: tuple[str, ...] = ()  #: to receive at; empty is all of this machine's that somebody can reach
    announce: tuple[str, ...] = ()  #: to name instead, where an address is translated on the way
    ipv6: bool = True
    socket_bytes: int = 4 * 1024 * 1024  #: buffer of each socket, as far as the system allows

    def check(self) -> None:
        """Raises `ConfigError`."""
        ports_of(self.udp_ports)
        for name, told in (("addresses", self.addresses), ("announce", self.announce)):
            for one in told:
                try:
                    ipaddress.ip_address(one)
                except ValueError:
                    raise ConfigError(f"[gateway.media] {name}: {one!r} is not an IP address") from None
        if self.socket_bytes < 65536:
            raise ConfigError(f"[gateway.media] socket_bytes: {self.socket_bytes} is less than 65536")


def ports_of(text: str) -> range:
    """`40000-40999` as a range; empty for any port. Raises `ConfigError`."""
    if not text:
        return range(0)
    first, _, last = text.partition("-")
    last = last or first
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) <= 65535):
        raise ConfigError(f"[gateway.media] udp_ports: {text!r} is not a range of ports such as 40000-40999")
    return range(int(first), int(last) + 1)


@dataclass(frozen=True, slots=True)
class Adapter:
    name: str
    address: str


def worth_naming(adapters: list[Adapter], *, ipv6: bool) -> list[str]:
    """The addresses of a machine that a client may reach it by. Loopback only where there is no other. Pure."""
    found: list[str] = []
    inner: list[str] = []
    own: list[str] = []
    for adapter in adapters:
        address = ipaddress.ip_address(adapter.address)
        if address.is_unspecified or address.is_multicast or (address.version == 6 and not ipv6):
            continue
        if address.is_loopback:
            own.append(adapter.address)
        elif address.is_link_local:
            continue
        else:
            (inner if adapter.name.startswith(_INNER) else found).append(adapter.address)
    return found or inner or own


def adapters() -> list[Adapter]:
    """This machine's."""
    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            found.append(Adapter(adapter.name, address))
    return found


def open_sockets(settings: MediaSettings) -> list[socket.socket]:
    """A bound UDP socket for each address, all on one port if ports are given. Raises `UplinkError`."""
    addresses = list(settings.addresses) or worth_naming(adapters(), ipv6=settings.ipv6)
    ports = ports_of(settings.udp_ports)
    if not ports:
        return _bind(addresses, 0, settings.socket_bytes)
    start = secrets.randbelow(len(ports))
    for step in range(len(ports)):
        try:
            return _bind(addresses, ports[(start + step) % len(ports)], settings.socket_bytes)
        except UplinkError:
            continue
    raise UplinkError(f"no free UDP port in {settings.udp_ports}")


def _bind(addresses: list[str], port: int, size: int) -> list[socket.socket]:
    """One that cannot be bound is left out if port is any; raises `UplinkError` if none can, or `port` is taken."""
    bound: list[socket.socket] = []
    for address in addresses:
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            made.setblocking(False)
            _enlarge(made, size)
            made.bind((address, port))
        except OSError as error:
            made.close()
            if port:
                for one in bound:
                    one.close()
                raise UplinkError(f"cannot receive at {address}:{port}: {error.strerror}") from None
            continue
        bound.append(made)
    if not bound:
        raise UplinkError("cannot receive media at any address of this machine")
    return bound


def _enlarge(made: socket.socket, size: int) -> None:
    """Beyond the system's usual limit where we may."""
    force = getattr(socket, "SO_RCVBUFFORCE", 33)
    try:
        made.setsockopt(socket.SOL_SOCKET, force, size)
    except OSError:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def candidates(bound: list[tuple[str, int]], announce: tuple[str, ...]) -> list[str]:
    """What stands behind `a=candidate:` for sockets bound at these addresses (RFC 8839). Pure.

    Announced addresses take the place of our own of the same family.
    """
    named: list[tuple[str, int]] = []
    for address, port in bound:
        version = ipaddress.ip_address(address).version
        others = [one for one in announce if ipaddress.ip_address(one).version == version]
        for one in others or ([address] if not announce else []):
            if (one, port) not in named:
                named.append((one, port))
    lines = []
    for number, (address, port) in enumerate(named):
        priority = 126 << 24 | (65535 - number) << 8 | 255
        lines.append(f"{number + 1} 1 udp {priority} {address} {port} typ host")
    return lines
