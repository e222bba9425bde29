"""Resolver: from endpoints to the addresses that `connect` and `bind` take."""

from __future__ import annotations

import errno
import os
import socket as _socket
from importlib import import_module
from typing import Any

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.import_gate import importing

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


def prepare_look_ups() -> None:
    """Import what Python imports when it looks a name up first. A channel calls it when it is made,
    because calls import nothing."""
    with importing:
        import_module("encodings.idna")


def _lookup(endpoint: Endpoint, flags: int) -> list[Address]:
    # Of a text Python makes a name by the codec "idna", which it would import for an address too.
    is_address = flags & _socket.AI_NUMERICHOST
    host: str | bytes = endpoint.host
    port = endpoint.port
    try:
        if is_address:
            host = endpoint.host.encode()
        found = _socket.getaddrinfo(host, port, type=_socket.SOCK_STREAM, flags=flags)
    except UnicodeError as error:
        raise OSError(_socket.EAI_NONAME, f"{endpoint.host!r} is no host name: {error}") from error
    return list(dict.fromkeys((int(family), sockaddr) for family, _, _, _, sockaddr in found))


def _unix_sockaddr(path: str) -> str | bytes:
    if not path:
        raise OSError(errno.EADDRNOTAVAIL, "a Unix socket without a path")
    return b"\0" + os.fsencode(path[1:]) if path.startswith("@") else path
