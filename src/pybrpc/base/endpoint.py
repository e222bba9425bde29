"""Addresses: "host:port", "[v6]:port", "unix:/path/of.sock", and on Linux "unix:@name".

"memory:name" is a server in memory, for tests: see `transport.memory_listeners`. Its name is no
number: "memory:8000" is a port of a host.

The text of a Unix address is bRPC's (src/butil/details/extended_endpoint.hpp): "unix:" and a path,
absolute or relative. "@name" is a name in Linux's abstract namespace, which has no file; the
address of a file with the name "@name" is "unix:./@name".
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import re
import socket as _socket
import sys

from pybrpc.errors import AddressError

_UNIX = "unix:"
_MEMORY = "memory:"
_NAME = re.compile(r"[\w.-]+", re.ASCII)
_LONGEST_NAME = 100
"""Characters of the name of a server in memory."""
_HAS_ABSTRACT_NAMES = sys.platform == "linux"
MAX_PATH_BYTES = 107 if _HAS_ABSTRACT_NAMES else 103
"""The longest path that fits into `sun_path`, without the zero byte at its end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """The address at which a server listens, or of a peer.

    `str()` gives "host:port" ("[::1]:80" for IPv6). For a Unix socket, `host` is the whole text,
    "unix:/path", and `port` is 0. So it is for a server in memory, "memory:name", which only this
    process can connect to.
    """

    host: str
    port: int

    def __str__(self) -> str:
        if not self.has_port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_unix(self) -> bool:
        """Whether it is the path of a Unix socket."""
        return self.host.startswith(_UNIX)

    @property
    def is_memory(self) -> bool:
        """Whether it is that of a server in memory, "memory:name"."""
        return self.host.startswith(_MEMORY)

    @property
    def has_port(self) -> bool:
        """Whether it is a host and a port: neither a Unix socket nor a server in memory."""
        return not self.host.startswith((_UNIX, _MEMORY))

    @property
    def path(self) -> str:
        """The path or "@name" of a Unix socket; "" for all other addresses."""
        return self.host[len(_UNIX) :] if self.is_unix else ""

    @property
    def is_ip(self) -> bool:
        """Whether `host` is an IP address, not a name that has to be resolved."""
        try:
            ipaddress.ip_address(self.host.partition("%")[0])
        except ValueError:
            return False
        return True

    @classmethod
    def in_memory(cls, name: str = "") -> Endpoint:
        """The address of a server in memory; "" lets the server choose a name. AddressError for a
        name with other characters than letters, digits, "_", "." and "-", of digits alone, or of
        more than 100 characters."""
        if name and not _is_name(name):
            raise AddressError(f"{name!r} is no name of a server in memory; use one like 'echo-1'")
        if len(name) > _LONGEST_NAME:
            raise AddressError(
                f"a name of {len(name)} characters is too long for a server in memory, which takes "
                f"{_LONGEST_NAME}"
            )
        return cls(_MEMORY + name, 0)

    @classmethod
    def parse(cls, address: str | Endpoint, *, allow_port_0: bool = False) -> Endpoint:
        """Parse "host:port", "[v6]:port", "unix:path" or "memory:name"; anything else raises
        AddressError.

        An IPv6 address gets its canonical short form; an IPv4-mapped one becomes IPv4. Port 0, for
        servers, is allowed with `allow_port_0`.
        """
        if isinstance(address, Endpoint):
            return address
        if not isinstance(address, str):
            raise AddressError(f'an address is a string like "127.0.0.1:8000", not {address!r}')
        text = address.strip()
        if text.startswith(_UNIX):
            _check_path(text.removeprefix(_UNIX), address)
            return cls(text, 0)
        name = text.removeprefix(_MEMORY)
        if name != text and (_is_name(name) or (not name and allow_port_0)):
            return cls.in_memory(name)
        shown = _shown(address)
        host, colon, port_text = text.rpartition(":")
        if not colon or not host:
            raise AddressError(f'address {shown} has no host and port; write "127.0.0.1:8000"')
        if "://" in host or "/" in host:
            raise AddressError(f'address {shown} is a URL; write only "host:port"')
        if "@" in host:
            raise AddressError(f'address {shown} has a user or a password; write only "host:port"')
        if host.startswith("[") and host.endswith("]"):
            host = _parse_ipv6(host[1:-1], address)
        elif "," in host:
            raise AddressError(f"address {shown} has a comma: for several, give a channel a list")
        elif ":" in host:
            raise AddressError(
                f'address {shown} has more than one colon; write "127.0.0.1:8000", '
                'or an IPv6 address as "[::1]:8000"'
            )
        _check_host(host, address)
        return cls(host, _parse_port(port_text, shown, allow_port_0))

    @classmethod
    def from_sockaddr(cls, sockaddr: object) -> Endpoint:
        """The endpoint for a result of getsockname() or getpeername().

        A Unix socket without a name is "unix:". An IPv4 peer of an IPv6 socket becomes IPv4; a
        link-local address includes its interface.
        """
        if isinstance(sockaddr, bytes):
            return cls(_UNIX + "@" + os.fsdecode(sockaddr.removeprefix(b"\0")), 0)
        if isinstance(sockaddr, tuple) and len(sockaddr) >= 2:
            host = str(sockaddr[0])
            if len(sockaddr) == 4:
                host = _host_of_ipv6(host, int(sockaddr[3]))
            return cls(host, int(sockaddr[1]))
        return cls(_UNIX + str(sockaddr), 0)


def _is_name(text: str) -> bool:
    """Whether a server in memory may have that name."""
    return not text.isdigit() and _NAME.fullmatch(text) is not None


def _shown(address: str) -> str:
    """The repr of an address that is refused, without the user and the password in it."""
    text = re.sub(r"(?:^|//).*@", "...@", repr(address)[1:-1], count=1)
    return f"'{re.sub(r'[?].*', '?...', text)}'"


def _check_host(host: str, address: str) -> None:
    if not host:
        raise AddressError(f"address {address!r} has no host")
    # The C library would ignore everything behind a zero byte.
    if any(c.isspace() or c < " " or c == "\x7f" for c in host):
        raise AddressError(f"address {address!r}: a host has no blanks and no control characters")


def _check_path(path: str, address: str) -> None:
    if not path or path == "@":
        raise AddressError(f'address {address!r} has no path; write "unix:/path/of.sock"')
    if "\0" in path:
        raise AddressError(f"address {address!r}: a path can't contain a zero byte")
    if path.startswith("@") and not _HAS_ABSTRACT_NAMES:
        raise AddressError(f"address {address!r}: only Linux has abstract names; write a path")
    try:
        size_bytes = len(os.fsencode(path))
    except UnicodeError as error:
        raise AddressError(f"address {address!r}: {error}") from None
    if size_bytes > MAX_PATH_BYTES:
        raise AddressError(
            f"address {address!r}: a path of {size_bytes} bytes is too long for a Unix socket, "
            f"which takes {MAX_PATH_BYTES}; use a shorter or a relative one"
        )


def _parse_ipv6(host: str, address: str) -> str:
    try:
        parsed = ipaddress.IPv6Address(host)
    except ValueError as error:
        raise AddressError(f"address {address!r}: {error}") from None
    return str(parsed.ipv4_mapped or parsed)


def _host_of_ipv6(host: str, scope_id: int) -> str:
    if "." in host:
        return host.removeprefix("::ffff:")
    if not scope_id or "%" in host:
        return host
    try:
        return f"{host}%{_socket.if_indextoname(scope_id)}"
    except OSError:
        return f"{host}%{scope_id}"


def _parse_port(text: str, shown: str, allow_port_0: bool) -> int:
    lowest = 0 if allow_port_0 else 1
    if text.isascii() and text.isdigit() and len(text) <= 5 and lowest <= int(text) <= 65535:
        return int(text)
    raise AddressError(f"address {shown}: port must be a number from {lowest} to 65535")
