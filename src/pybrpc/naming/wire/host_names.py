"""HostNames: looks names up with the resolver of the system, and so by /etc/hosts too."""

from __future__ import annotations

import enum
import socket
from collections.abc import Callable, Iterable

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import NamingError
from pybrpc.naming.interfaces import InterruptedFetchError
from pybrpc.naming.naming_url import NamingUrl, UrlOptions
from pybrpc.naming.server_lists import check_count
from pybrpc.naming.server_node import ServerNode


class Family(enum.Enum):
    """Which addresses of a name count."""

    PREFER_IPV4 = "any"
    """Those of IPv4; if there are none, those of IPv6."""
    IPV4 = "4"
    IPV6 = "6"
    BOTH = "both"
    """All: a host that has addresses of both is two servers."""

    @classmethod
    def of(cls, url: NamingUrl, options: UrlOptions) -> Family:
        """That of the option `family`."""
        text = options.text("family", "any")
        try:
            return cls(text)
        except ValueError:
            raise url.error(f"family must be any, 4, 6 or both, not {text!r}") from None

    def choose(self, ipv4: list[str], ipv6: list[str]) -> list[str]:
        """The addresses that count."""
        if self is Family.PREFER_IPV4:
            return ipv4 or ipv6
        return (ipv4 if self is not Family.IPV6 else []) + (ipv6 if self is not Family.IPV4 else [])


def look_up(host: str) -> list[tuple[bool, str]]:
    """The addresses of `host`, each with whether it is one of IPv6. Blocks; raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [
        (family == socket.AF_INET6, Endpoint.from_sockaddr(sockaddr).host)
        for family, _, _, _, sockaddr in found
        if family in (socket.AF_INET, socket.AF_INET6)
    ]


class HostNames:
    """Makes servers with addresses of servers with names. One thread, but for `interrupt`."""

    def __init__(
        self,
        family: Family,
        look_up: Callable[[str], list[tuple[bool, str]]] = look_up,
    ) -> None:
        self._family = family
        self._look_up = look_up
        self._last: dict[str, list[str]] = {}
        self._is_interrupted = False

    def interrupt(self) -> None:
        """`resolve_all` ends after the name that it looks up now. Any thread."""
        self._is_interrupted = True

    def addresses_of(self, host: str) -> list[str]:
        """The addresses of a name. NamingError if the look-up fails."""
        try:
            found = self._look_up(host)
        except (OSError, UnicodeError) as error:
            raise NamingError(f"the look-up of {host!r} failed: {error}") from None
        ipv4 = [address for is_ipv6, address in found if not is_ipv6]
        ipv6 = [address for is_ipv6, address in found if is_ipv6]
        return list(dict.fromkeys(self._family.choose(ipv4, ipv6)))

    def resolve_all(self, servers: Iterable[ServerNode]) -> list[ServerNode]:
        """A server for each address. Names whose look-up fails keep the addresses that they had.

        NamingError if nothing is known of any of them.
        """
        found: list[ServerNode] = []
        self._last = {server.endpoint.host: [] for server in servers} | self._last
        fresh: set[str] = set()
        error: NamingError | None = None
        for server in servers:
            endpoint = server.endpoint
            if endpoint.is_unix or endpoint.is_ip:
                found.append(server)
                continue
            if endpoint.host not in fresh:
                fresh.add(endpoint.host)
                if self._is_interrupted:
                    self._is_interrupted = False
                    raise InterruptedFetchError
                try:
                    self._last[endpoint.host] = self.addresses_of(endpoint.host)
                except NamingError as failed:
                    error = failed
            found += [
                ServerNode(Endpoint(address, endpoint.port), server.tag)
                for address in self._last[endpoint.host]
            ]
            check_count(len(found))
        if error is not None and not found:
            raise error
        return found
