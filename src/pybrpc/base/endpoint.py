"""Addresses: "host:port", "[v6]:port", a port alone for servers."""

from __future__ import annotations

import dataclasses
import ipaddress

from pybrpc.errors import AddressError


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens or a peer is. `str()` gives "host:port" ("[::1]:80" for IPv6)."""

    host: str
    port: int

    def __str__(self) -> str:
        if not self.port and not self.is_ip:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_ip(self) -> bool:
        """Whether `host` is an address already, so that no name has to be resolved."""
        try:
            ipaddress.ip_address(self.host.partition("%")[0])
        except ValueError:
            return False
        return True

    @classmethod
    def parse(cls, address: str | Endpoint, *, allow_port_0: bool = False) -> Endpoint:
        """Parse "host:port" or "[v6]:port"; anything else raises AddressError."""
        if isinstance(address, Endpoint):
            return address
        if not isinstance(address, str):
            raise AddressError(f'an address is a string like "127.0.0.1:8000", not {address!r}')
        host, colon, port_text = address.strip().rpartition(":")
        if not colon or not host:
            raise AddressError(f'address {address!r} has no host and port; write "127.0.0.1:8000"')
        if "://" in host or "/" in host:
            raise AddressError(f'address {address!r} is a URL; write only "host:port"')
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            _check_ipv6(host, address)
        elif ":" in host:
            raise AddressError(f'address {address!r}: write an IPv6 address as "[::1]:8000"')
        if not host or any(c.isspace() for c in host):
            raise AddressError(f"address {address!r} has no host")
        return cls(host, _parse_port(port_text, address, allow_port_0))

    @classmethod
    def from_sockaddr(cls, sockaddr: object) -> Endpoint:
        """From what getsockname() and getpeername() give; a Unix socket has port 0."""
        if isinstance(sockaddr, tuple) and len(sockaddr) >= 2:
            return cls(str(sockaddr[0]), int(sockaddr[1]))
        return cls(str(sockaddr) or "unix", 0)


def _check_ipv6(host: str, address: str) -> None:
    try:
        ipaddress.IPv6Address(host)
    except ValueError as error:
        raise AddressError(f"address {address!r}: {error}") from None


def _parse_port(text: str, address: str, allow_port_0: bool) -> int:
    lowest = 0 if allow_port_0 else 1
    if text.isascii() and text.isdigit() and len(text) <= 5 and lowest <= int(text) <= 65535:
        return int(text)
    raise AddressError(f"address {address!r}: port must be a number from {lowest} to 65535")
