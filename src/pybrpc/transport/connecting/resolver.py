"""Resolver: from endpoints to the addresses that `connect` and `bind` take."""

from __future__ import annotations

import errno
import os
import socket as _socket
from typing import Any

from pybrpc.base.endpoint import Endpoint

Address = tuple[int, tuple[Any, ...] | str | bytes]
"""Address family and the sockaddr that `connect` and `bind` take."""


def addresses_at_hand(endpoint: Endpoint) -> list[Address] | None:
    """The address of an endpoint that needs no resolving, `None` for a name. Never blocks.

    Raises OSError if this machine has no such address, such as an interface that it names.
    """
    if endpoint.is_unix:
        return [(_socket.AF_UNIX, _unix_sockaddr(endpoint.path))]
    if endpoint.is_ip:
        return _lookup(endpoint, _socket.AI_NUMERICHOST | _socket.AI_NUMERICSERV)
    return None


def resolve(endpoint: Endpoint) -> list[Address]:
    """The addresses of an endpoint, in the order of the system's preference (RFC 6724).

    Blocks if it is a name. Raises OSError if there is none.
    """
    at_hand = addresses_at_hand(endpoint)
    return _lookup(endpoint, _socket.AI_NUMERICSERV) if at_hand is None else at_hand


def _lookup(endpoint: Endpoint, flags: int) -> list[Address]:
    host, port = endpoint.host, endpoint.port
    try:
        found = _socket.getaddrinfo(host, port, type=_socket.SOCK_STREAM, flags=flags)
    except UnicodeError as error:
        raise OSError(_socket.EAI_NONAME, f"{host!r} is no host name: {error}") from error
    return list(dict.fromkeys((int(family), sockaddr) for family, _, _, _, sockaddr in found))


def _unix_sockaddr(path: str) -> str | bytes:
    if not path:
        raise OSError(errno.EADDRNOTAVAIL, "a Unix socket without a path")
    return b"\0" + os.fsencode(path[1:]) if path.startswith("@") else path
