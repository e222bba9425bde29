"""Servers in memory: no port, no listening socket, no file. For tests, of any program.

A server in memory has an `Endpoint` that only this process knows. To connect to it means to make a
pair of connected sockets (`socketpair`, in the kernel, without an address): the client keeps one
end, and the server accepts the other one. All that follows is what it is over TCP: the same bytes,
readiness, full buffers, half-closed connections, TLS too. A pipe of Python objects would be a
second transport, with semantics of its own, and no faster: the system calls are a small part.

A name is taken while a server has it. In a forked child no name is: the servers of the parent do
not run there.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket as _socket
from typing import Protocol

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ListenError


class MemoryListener(Protocol):
    """A server in memory, as those who connect see it."""

    def connect(self) -> _socket.socket:
        """A socket that is connected to it. Any thread, never blocks. OSError if it does not
        accept."""


_listeners: dict[Endpoint, MemoryListener] = {}
_numbers = itertools.count(1)


def listen_in_memory(where: Endpoint, listener: MemoryListener) -> Endpoint:
    """Have `connect_in_memory` find `listener` at `where`; return the address, with the name that
    was chosen if `where` has none. ListenError if the name is taken. Any thread, takes no lock."""
    if where != Endpoint.in_memory():
        if _listeners.setdefault(where, listener) is not listener:
            reason = os.strerror(errno.EADDRINUSE)
            raise ListenError(errno.EADDRINUSE, f"Fail to listen on {where}: {reason}")
        return where
    while True:
        endpoint = Endpoint.in_memory(f"server-{next(_numbers)}")
        if _listeners.setdefault(endpoint, listener) is listener:
            return endpoint


def forget_listener(endpoint: Endpoint, listener: MemoryListener) -> None:
    """Let `listener` be found no more. Any thread; called again, it does nothing."""
    if _listeners.get(endpoint) is listener:
        _listeners.pop(endpoint, None)


def connect_in_memory(endpoint: Endpoint) -> _socket.socket:
    """A socket that is connected to the server at `endpoint`. ConnectionRefusedError if there is
    none; OSError if there are no descriptors left. Never blocks."""
    listener = _listeners.get(endpoint)
    if listener is None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    return listener.connect()


def endpoints_in_memory() -> list[Endpoint]:
    """The addresses of the servers in memory that there are now."""
    return list(_listeners)


os.register_at_fork(after_in_child=_listeners.clear)
