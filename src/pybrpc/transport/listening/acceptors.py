"""Acceptors: the acceptors of one server, which may listen on several sockets."""

from __future__ import annotations

import errno
import socket as _socket
from collections.abc import Sequence
from typing import TypeAlias

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ListenError
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.listening.acceptor import ACCEPTS_PER_TURN, Acceptor, OnAccepted
from pybrpc.transport.listening.memory_acceptor import MemoryAcceptor
from pybrpc.transport.listening.passed_sockets import PassedSocket, is_passed, passed_sockets
from pybrpc.transport.runtime import Runtime

Sockets: TypeAlias = list[_socket.socket] | tuple[_socket.socket, ...]
Address: TypeAlias = str | Endpoint | _socket.socket | Sockets
"""As users write it: "host:port", "unix:path", "fd://name", or sockets that are bound already."""

Where: TypeAlias = Endpoint | _socket.socket | Sequence[_socket.socket | PassedSocket]
"""An address, a socket that is bound already, or several of these, one at least."""


def where_to_listen(address: Address) -> Where:
    """The meaning of an address. AddressError, TypeError and ValueError if it makes no sense;
    ListenError if no such socket was passed to this process."""
    if isinstance(address, _socket.socket):
        return address
    if isinstance(address, list | tuple):
        return _checked_sockets(address)
    if is_passed(address):
        return passed_sockets(str(address))
    return Endpoint.parse(address, allow_port_0=True)


def _checked_sockets(sockets: Sockets) -> Sockets:
    for sock in sockets:
        if not isinstance(sock, _socket.socket):
            raise TypeError(f"a list to listen on has bound sockets only, not {sock!r}")
    if not sockets:
        raise ValueError("a list of bound sockets with at least one in it, not an empty one")
    return sockets


class Acceptors:
    """Used as one Acceptor is. All sockets are accepted from alike."""

    def __init__(
        self,
        where: Where,
        dispatcher: EventDispatcher,
        on_accepted: OnAccepted,
        runtime: Runtime,
        accepts_per_turn: int = ACCEPTS_PER_TURN,
        reuse_port: bool = False,
    ) -> None:
        """Bind and listen, on all or on none. Raises ListenError. See `Acceptor`."""
        self._all: list[Acceptor] = []
        each: Endpoint | _socket.socket | PassedSocket
        try:
            for each in [where] if isinstance(where, Endpoint | _socket.socket) else where:
                self._all.append(
                    Acceptor(each, dispatcher, on_accepted, runtime, accepts_per_turn, reuse_port)
                )
        except BaseException:
            self.undo()
            raise

    @property
    def endpoint(self) -> Endpoint:
        """The address of the first socket, with the port that was chosen."""
        return self._all[0].endpoint

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses of all sockets, in their order."""
        return tuple(acceptor.endpoint for acceptor in self._all)

    @property
    def accepted(self) -> int:
        """Connections that were accepted."""
        return sum(acceptor.accepted for acceptor in self._all)

    def start(self) -> None:
        """Accept from the next turn on. Any thread."""
        for acceptor in self._all:
            acceptor.start()

    def close(self) -> None:
        """Stop listening. Any thread, never blocks."""
        for acceptor in self._all:
            acceptor.close()

    def undo(self) -> None:
        """Listen no more, because what was to follow has failed. Before `start`."""
        for acceptor in self._all:
            acceptor.undo()

    def abandon(self) -> None:
        """Close the descriptors without the dispatcher."""
        for acceptor in self._all:
            acceptor.abandon()

    def __repr__(self) -> str:
        return f"<Acceptors {self._all}>"


def new_acceptor(
    where: Where,
    dispatcher: EventDispatcher,
    on_accepted: OnAccepted,
    runtime: Runtime,
    accepts_per_turn: int,
    reuse_port: bool,
) -> Acceptors | MemoryAcceptor:
    """Listen, in memory or on sockets. Raises ListenError."""
    if isinstance(where, Endpoint) and where.is_memory:
        if reuse_port:
            text = f"Fail to listen on {where}: only ports of TCP are shared, no servers in memory"
            raise ListenError(errno.EOPNOTSUPP, text)
        return MemoryAcceptor(where, dispatcher, on_accepted, runtime)
    return Acceptors(where, dispatcher, on_accepted, runtime, accepts_per_turn, reuse_port)
