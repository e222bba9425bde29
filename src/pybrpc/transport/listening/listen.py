"""Listening sockets, from which `Acceptor` accepts."""

from __future__ import annotations

import errno
import os
import socket as _socket
from collections.abc import Callable
from typing import TypeVar

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import PyBrpcError
from pybrpc.transport.connecting.resolver import Address, resolve
from pybrpc.transport.listening.socket_file import SocketFile, listen_at

T = TypeVar("T")

BACKLOG = 1024
"""Connections that the kernel completes before they are accepted, up to its own limit."""


class ListenError(PyBrpcError, OSError):
    """The address can't be listened on: it is in use, not one of this machine, not allowed, ..."""


def listen(where: Endpoint | _socket.socket) -> tuple[_socket.socket, SocketFile | None]:
    """A non-blocking socket that listens, and its file if it is a Unix socket.

    `where` is an endpoint, or a bound socket, which is taken over, without its file, unless this
    raises. A name stands for the first of its addresses that can be used. "[::]" listens for IPv4
    too. A Unix socket takes the place of one whose server is dead. Blocks if a name has to be
    resolved, and at most for a second while other servers start in the directory of a Unix socket.
    Raises ListenError.
    """
    if isinstance(where, _socket.socket):
        return _listen_on_bound(where), None
    return _on_first_address(where, _listen_on)


def bind_shared(endpoint: Endpoint) -> _socket.socket:
    """A TCP socket that is bound to `endpoint`, together with others, and doesn't listen yet.

    As long as it is open, only sockets of the same user that are bound in this way get the port.
    The kernel gives a new connection to one of those that listen, chosen by a hash of its two
    addresses (SO_REUSEPORT, on Linux). Blocks if a name has to be resolved. Raises ListenError.
    """
    return _on_first_address(endpoint, _bind_shared)


def _on_first_address(endpoint: Endpoint, use: Callable[[Address], T]) -> T:
    what = f"Fail to listen on {endpoint}"
    try:
        addresses = resolve(endpoint)
    except OSError as error:
        raise ListenError(errno.EADDRNOTAVAIL, f"{what}: {error.strerror or error}") from error
    last_error: OSError | None = None
    for address in addresses:
        try:
            return use(address)
        except OSError as error:
            last_error = error
    code = (last_error and last_error.errno) or errno.EADDRNOTAVAIL
    reason = (last_error and last_error.strerror) or os.strerror(code)
    raise ListenError(code, f"{what}: {reason}") from last_error


def _listen_on_bound(sock: _socket.socket) -> _socket.socket:
    try:
        sock.setblocking(False)
        sock.listen(BACKLOG)
    except OSError as error:
        code = error.errno or errno.EINVAL
        raise ListenError(code, f"Fail to listen on {sock!r}: {error.strerror}") from error
    return sock


def _bind_shared(address: Address) -> _socket.socket:
    family, sockaddr = address
    sock = _socket.socket(family, _socket.SOCK_STREAM)
    try:
        if family == _socket.AF_INET6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 0)
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
        sock.bind(sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _listen_on(address: Address) -> tuple[_socket.socket, SocketFile | None]:
    family, sockaddr = address
    sock = _socket.socket(family, _socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if isinstance(sockaddr, str):
            return sock, listen_at(sock, sockaddr, BACKLOG)
        if family == _socket.AF_INET6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 0)
        if family != _socket.AF_UNIX:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        sock.bind(sockaddr)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock, None


def start_on_first_free(host: str, ports: range, start: Callable[[Endpoint], Endpoint]) -> Endpoint:
    """Call `start` with one port after another until one is free; return its result.

    Raises ListenError if all are taken, or at once for any other reason; ValueError if `ports` is
    empty.
    """
    if not ports:
        raise ValueError(f"a range of ports with at least one in it, not {ports!r}")
    for port in ports:
        try:
            return start(Endpoint(host, port))
        except ListenError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    reason = f"Fail to listen on {host}: ports {ports[0]} to {ports[-1]} are all taken"
    raise ListenError(errno.EADDRINUSE, reason)
