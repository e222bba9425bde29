"""Listening sockets, from which `Acceptor` accepts."""

from __future__ import annotations

import contextlib
import errno
import os
import socket as _socket
from collections.abc import Callable
from typing import TypeVar

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ListenError as ListenError
from pybrpc.transport.connecting.resolver import Address, resolve
from pybrpc.transport.listening.passed_sockets import PassedSocket
from pybrpc.transport.listening.socket_file import SocketFile, listen_at

T = TypeVar("T")

BACKLOG = 1024
"""Connections that the kernel completes before they are accepted, up to its own limit."""


def listen(
    where: Endpoint | _socket.socket | PassedSocket, reuse_port: bool = False
) -> tuple[_socket.socket, SocketFile | None]:
    """A non-blocking socket that listens, and its file if it is a Unix socket.

    `where` is an endpoint, or a bound socket, which is taken over, without its file, unless this
    raises; or a passed one, of which this is a copy. One that listens already keeps the length of
    its queue. With `reuse_port` the port of an endpoint is shared, as by `bind_shared`. A name
    stands for the first of its addresses that can be used. "[::]" listens for IPv4 too. A Unix
    socket takes the place of one whose server is dead. Blocks if a name has to be resolved, and at
    most for a second while other servers start in the directory of a Unix socket.
    Raises ListenError.
    """
    if isinstance(where, _socket.socket):
        return _listen_on_bound(where), None
    if isinstance(where, PassedSocket):
        return _listen_or_close(where.open()), None
    if reuse_port:
        return _listen_or_close(bind_shared(where)), None
    return _on_first_address(where, _listen_on)


def bind_shared(endpoint: Endpoint) -> _socket.socket:
    """A TCP socket that is bound to `endpoint`, together with others, and doesn't listen yet.

    As long as it is open, only sockets of the same user that are bound in this way get the port.
    The kernel gives a new connection to one of those that listen, chosen by a hash of its two
    addresses (SO_REUSEPORT, on Linux). Blocks if a name has to be resolved. Raises ListenError.
    """
    if endpoint.is_unix:
        text = f"Fail to listen on {endpoint}: only ports of TCP are shared, no Unix sockets"
        raise ListenError(errno.EOPNOTSUPP, text)
    check_reuse_port()
    return _on_first_address(endpoint, _bind_shared)


def check_reuse_port() -> None:
    """NotImplementedError where the system has no SO_REUSEPORT."""
    if not hasattr(_socket, "SO_REUSEPORT"):
        raise NotImplementedError("this system can't share a port: it has no SO_REUSEPORT")


def claim_port(endpoint: Endpoint) -> _socket.socket:
    """A TCP socket that is bound to `endpoint`, and keeps its port for sockets of `bind_shared`.

    It never accepts. As long as it is open, no other process can claim the port, and sockets that
    don't share it can't listen on it, even while no worker listens. ListenError if one listens
    already, or if the port is claimed. Blocks if a name has to be resolved. Linux only.
    """
    return _on_first_address(endpoint, _claim_port)


def unclaim_port(sock: _socket.socket) -> None:
    """Close a socket of `claim_port`; the port is free even if a forked child still has it."""
    with contextlib.suppress(OSError):
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    sock.close()


def stop_listening(sock: _socket.socket) -> None:
    """Reset the connections that wait in the queue of a socket, and refuse others, whichever other
    processes have it too. It stays bound, so that it can listen again. Linux only.

    Nothing happens to a socket that doesn't listen: after a `shutdown` in that state it would
    listen, but each connection that it accepts would be at its end.
    """
    with contextlib.suppress(OSError):
        if sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN):
            sock.shutdown(_socket.SHUT_RDWR)


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
        if not sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN):
            sock.listen(BACKLOG)
    except OSError as error:
        code = error.errno or errno.EINVAL
        raise ListenError(code, f"Fail to listen on {sock!r}: {error.strerror}") from error
    return sock


def _listen_or_close(sock: _socket.socket) -> _socket.socket:
    try:
        return _listen_on_bound(sock)
    except BaseException:
        sock.close()
        raise


def _bind_shared(address: Address) -> _socket.socket:
    family, sockaddr = address
    sock = _new_tcp_socket(family)
    try:
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
        sock.bind(sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _claim_port(address: Address) -> _socket.socket:
    """Bind, and listen for a moment: of several processes that do so, the kernel lets one.

    A port that the kernel has chosen is nobody else's, so that moment is not needed. It would also
    lose the port, because the kernel keeps only ports that were named across a `shutdown`. After
    it, a socket without SO_REUSEADDR on the port is what refuses listeners that don't share it.
    """
    family, sockaddr = address
    sock = _new_tcp_socket(family)
    try:
        is_named = bool(sockaddr[1])
        if not is_named:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
        sock.bind(sockaddr)
        if is_named:
            sock.listen(1)
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 0)
        stop_listening(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _new_tcp_socket(family: int) -> _socket.socket:
    sock = _socket.socket(family, _socket.SOCK_STREAM)
    if family == _socket.AF_INET6:
        sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 0)
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
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
    if not isinstance(ports, range):
        raise TypeError(f"ports must be a range, such as range(8000, 8100), not {ports!r}")
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
