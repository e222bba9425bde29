"""Protection of a port that any page in a browser of the company can reach.

A browser says whose page has sent a request: by Origin, and by Sec-Fetch-Site. Requests of foreign
pages are refused unless `cors=` names their origin. A page that asks for `http://10.0.0.1:8000`
under a name of its own (DNS rebinding) is of the same site for the browser, and only its Host
tells: pages that are not public are never shown under such a name, and `allowed_hosts=` refuses it
for all requests.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from pybrpc.base.checked_options import checked_list
from pybrpc.base.endpoint import Endpoint
from pybrpc.protocols.http1 import HttpHeaders
from pybrpc.protocols.http1.uri import split_host_and_port

Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_OWN_SITES = ("same-origin", "none")
PREFLIGHT_S = 600


class Origins:
    """The origins whose pages may use the server: `cors=`."""

    def __init__(self, allowed: Iterable[str] | str = ()) -> None:
        """Origins, such as "https://app.example.com", or "*" for all. ValueError, TypeError."""
        items = [allowed] if isinstance(allowed, str) else allowed
        origins = checked_list("cors", items, str, 'origins such as "https://app.example.com"')
        self.allows_all = "*" in origins
        self._origins = frozenset(_normalized(_checked_origin(each)) for each in origins)

    def allows(self, origin: str) -> bool:
        """Whether pages of `origin` may use the server."""
        return self.allows_all or _normalized(origin) in self._origins

    def headers_for(self, origin: str) -> Mapping[str, str]:
        """The headers of each response to a page of `origin`, which is allowed."""
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}

    def preflight_headers(self, headers: HttpHeaders) -> dict[str, str]:
        """The headers of the response to a question of the browser whether it may send more."""
        found = {
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
            "Access-Control-Max-Age": str(PREFLIGHT_S),
        }
        wanted = headers.get("access-control-request-headers")
        if wanted:
            found["Access-Control-Allow-Headers"] = wanted
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Origins):
            return NotImplemented
        return (self.allows_all, self._origins) == (other.allows_all, other._origins)

    def __hash__(self) -> int:
        return hash((self.allows_all, self._origins))

    def __repr__(self) -> str:
        return f"<Origins {', '.join(sorted(self._origins)) or 'none'}>"


class AllowedHosts:
    """The hosts under which the server answers: `allowed_hosts=`."""

    def __init__(self, allowed: Iterable[str] | str | None = None) -> None:
        """Hosts without port: "api.example.com", "10.0.0.7", "[::1]", "*.example.com" for all
        names below example.com, "*" or `None` for all. ValueError, also for an empty list: it
        hardly means all hosts, and with none of them the server would answer no request.
        TypeError."""
        items: Iterable[str] = ["*"] if allowed is None else allowed
        items = [items] if isinstance(items, str) else items
        names = checked_list("allowed_hosts", items, str, 'hosts such as "api.example.com"')
        if not names:
            raise ValueError(
                "allowed_hosts: an empty list would allow no host at all; for all hosts leave it "
                'out, or use ["*"]'
            )
        self.texts = tuple(names)
        """As they were given."""
        self.allows_all = "*" in names
        hosts = [_checked_host(name) for name in names if name != "*"]
        self._exact = frozenset(host for host in hosts if host[0] != "*")
        self._ends = tuple(host[1:] for host in hosts if host[0] == "*")

    def allows(self, host_and_port: str) -> bool:
        """Whether a Host header, "api.example.com:8000", is one of them. Ports don't matter."""
        if self.allows_all:
            return True
        host = _normalized_host(split_host_and_port(host_and_port)[0])
        return host in self._exact or (
            host.endswith(self._ends) and not host.startswith(".") and host != ""
        )

    def names(self, host_and_port: str) -> bool:
        """Whether a Host header is one of those that were named, and not just one of all."""
        return not self.allows_all and self.allows(host_and_port)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AllowedHosts):
            return NotImplemented
        own, others = (
            (each.allows_all, each._exact, frozenset(each._ends)) for each in (self, other)
        )
        return own == others

    def __hash__(self) -> int:
        return hash((self.allows_all, self._exact, frozenset(self._ends)))

    def __repr__(self) -> str:
        names = sorted(self._exact) + [f"*{end}" for end in self._ends]
        return f"<AllowedHosts {'all' if self.allows_all else ', '.join(names)}>"


_HOST = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)


def _normalized_host(host: str) -> str:
    """In lower case, without brackets or the dot of the root; an address of IPv6 in one form."""
    host = host.lower().strip("[]").removesuffix(".")
    if ":" in host:
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_address(host))
    return host


def _checked_host(name: str) -> str:
    host = _normalized_host(name)
    is_address = ":" in host and is_ip_address(host)
    if not _HOST.fullmatch(host) and not is_address:
        raise ValueError(
            f'allowed_hosts: {name!r} is no host without port, such as "api.example.com", or '
            '"*.example.com"'
        )
    return host


def is_ip_address(host: str) -> bool:
    """Whether `host` is an address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _checked_origin(origin: str) -> str:
    scheme, mark, host = origin.partition("://")
    if origin != "*" and (not mark or scheme not in _DEFAULT_PORTS or not host or "/" in host):
        raise ValueError(f'cors: {origin!r} is no origin such as "https://app.example.com", or "*"')
    return origin


def _normalized(origin: str) -> str:
    """In lower case, without the port that the scheme has anyway."""
    origin = origin.lower()
    scheme, _, _ = origin.partition("://")
    return origin.removesuffix(_DEFAULT_PORTS.get(scheme, ":"))


def is_cross_site(headers: HttpHeaders) -> bool:
    """Whether a browser says that the page of another site has sent the request."""
    origin = headers.get("origin")
    if origin is not None:
        host = headers.get("host", "").lower()
        scheme, _, authority = _normalized(origin).partition("://")
        return authority != host.removesuffix(_DEFAULT_PORTS.get(scheme, ":")) or not authority
    site = headers.get("sec-fetch-site")
    return site is not None and site.lower() not in _OWN_SITES


def is_navigation(method: str, headers: HttpHeaders) -> bool:
    """Whether a person follows a link: the page that has it sees nothing of the answer."""
    return (
        method in ("GET", "HEAD")
        and "origin" not in headers
        and headers.get("sec-fetch-mode", "").lower() == "navigate"
        and headers.get("sec-fetch-dest", "").lower() == "document"
    )


def checked_networks(networks: Iterable[str] | str) -> tuple[Network, ...]:
    """`builtin_allow=`: "10.0.0.0/8" or "10.1.2.3". ValueError, TypeError."""
    items = [networks] if isinstance(networks, str) else networks
    names = checked_list("builtin_allow", items, str, 'networks such as "10.0.0.0/8"')
    try:
        return tuple(ipaddress.ip_network(each) for each in names)
    except ValueError as error:
        raise ValueError(f"builtin_allow: {error}") from None


def is_in(networks: tuple[Network, ...], client: Endpoint | None) -> bool:
    """Whether the address of a client is in one of the networks."""
    if not networks or client is None:
        return False
    try:
        address = ipaddress.ip_address(client.host.partition("%")[0])
    except ValueError:
        return False  # a Unix socket
    mapped = getattr(address, "ipv4_mapped", None)
    return any((address if mapped is None else mapped) in network for network in networks)


def has_own_host(headers: HttpHeaders) -> bool:
    """Whether the Host is an address, "localhost" or the name of this machine: not a name that
    somebody else's DNS has for it."""
    host, _ = split_host_and_port(headers.get("host", ""))
    host = host.lower().strip("[]")
    if host in ("localhost", socket.gethostname().lower()):
        return True
    return is_ip_address(host)


class HttpSettings(NamedTuple):
    """Options of a server that are about HTTP, checked."""

    origins: Origins = Origins()
    builtin_allow: tuple[Network, ...] = ()
    hosts: AllowedHosts = AllowedHosts()
