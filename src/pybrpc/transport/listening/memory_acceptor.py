"""MemoryAcceptor: accepts the connections to a server in memory."""

from __future__ import annotations

import errno
import os
import socket as _socket
from functools import partial

from pybrpc.base.endpoint import Endpoint
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher
from pybrpc.transport.listening.acceptor import OnAccepted
from pybrpc.transport.memory_listeners import forget_listener, listen_in_memory
from pybrpc.transport.runtime import Runtime


class MemoryAcceptor:
    """Does for a server in memory what an Acceptor does for one with an address. It has no
    descriptor: who connects makes the pair, and posts the server's end here."""

    def __init__(
        self,
        where: Endpoint,
        dispatcher: EventDispatcher,
        on_accepted: OnAccepted,
        runtime: Runtime,
    ) -> None:
        """Take the name of `where`, or choose one. ListenError if it is taken. `start()` begins to
        accept."""
        self.accepted = 0
        self._dispatcher = dispatcher
        self._on_accepted = on_accepted
        self._is_accepting = False
        self.endpoint = listen_in_memory(where, self)
        """Its address, with the name that was chosen."""
        runtime.acceptors.add(self)

    def start(self) -> None:
        """Accept from now on. Any thread."""
        self._is_accepting = True

    def close(self) -> None:
        """Accept no more. Any thread, never blocks."""
        self._is_accepting = False
        forget_listener(self.endpoint, self)

    def undo(self) -> None:
        """Accept no more, because what was to follow has failed. The name is free at once."""
        self.close()

    def abandon(self) -> None:
        """As `close`, without the dispatcher, which has ended or belongs to a parent process."""
        self.close()

    def connect(self) -> _socket.socket:
        """As in MemoryListener: connected at once, as by the backlog of a kernel."""
        if not self._is_accepting:
            raise _refused()
        client, server = _socket.socketpair()
        try:
            self._dispatcher.post(partial(self._accept, server))
        except BaseException as error:
            client.close()
            server.close()
            if isinstance(error, DispatcherClosedError):
                raise _refused() from error
            raise
        return client

    def _accept(self, sock: _socket.socket) -> None:
        """In a turn: the server's end of a pair."""
        if not self._is_accepting:
            sock.close()
            return
        self.accepted += 1
        try:
            self._on_accepted(sock)
        except OSError:
            # The peer has closed already, so options can't be set any more.
            sock.close()
        except BaseException:
            sock.close()
            raise

    def __repr__(self) -> str:
        state = "accepting" if self._is_accepting else "not accepting"
        return f"<MemoryAcceptor on {self.endpoint}, {state}, {self.accepted} accepted>"


def _refused() -> ConnectionRefusedError:
    return ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
