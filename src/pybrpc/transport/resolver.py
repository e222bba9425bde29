"""Resolver: names to addresses, without blocking the caller."""

from __future__ import annotations

import socket as _socket
import threading
from collections.abc import Callable

from pybrpc.base.endpoint import Endpoint

Address = tuple[int, tuple[object, ...]]
"""Address family and the sockaddr that `connect` takes."""


def addresses_of_ip(endpoint: Endpoint) -> list[Address]:
    """The address of an endpoint that needs no resolving. Never blocks."""
    return _lookup(endpoint, _socket.AI_NUMERICHOST | _socket.AI_NUMERICSERV)


def resolve_in_background(
    endpoint: Endpoint, on_done: Callable[[list[Address] | OSError], None]
) -> None:
    """Look a name up in a thread of its own (getaddrinfo blocks); `on_done` is called there."""

    def run() -> None:
        try:
            result: list[Address] | OSError = _lookup(endpoint, _socket.AI_NUMERICSERV)
        except OSError as error:
            result = error
        except UnicodeError as error:
            result = OSError(_socket.EAI_NONAME, f"{endpoint.host!r} is no host name: {error}")
        on_done(result)

    threading.Thread(target=run, name=f"pybrpc-resolve-{endpoint.host}", daemon=True).start()


def _lookup(endpoint: Endpoint, flags: int) -> list[Address]:
    found = _socket.getaddrinfo(endpoint.host, endpoint.port, type=_socket.SOCK_STREAM, flags=flags)
    return [(family, sockaddr) for family, _, _, _, sockaddr in found]
