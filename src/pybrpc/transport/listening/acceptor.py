"""Acceptor: one listening descriptor, polled by a dispatcher. After bRPC's `Acceptor`."""

from __future__ import annotations

import errno
import os
import socket as _socket
import time
import weakref
from collections.abc import Callable

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import TRANSPORT
from pybrpc.base.limited_log import LimitedLog
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher
from pybrpc.transport.dispatch.turn_budget import LONG_S
from pybrpc.transport.listening.listen import ListenError as ListenError
from pybrpc.transport.listening.listen import listen
from pybrpc.transport.listening.passed_sockets import PassedSocket
from pybrpc.transport.listening.socket_file import SocketFile
from pybrpc.transport.runtime import Runtime

ACCEPTS_PER_TURN = 64
COSTLY_ACCEPTS_PER_TURN = 8
"""Most connections that a turn accepts if each begins with a handshake."""

STEP_S = 0.002
"""Seconds after which a turn accepts no more connections, at least one is accepted."""

PAUSE_S = 0.1

OnAccepted = Callable[[_socket.socket], None]

_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Listens, and hands over the connections that it accepts.

    `on_accepted(sock)` is called in a turn of the dispatcher, once for each connection, and owns
    the socket from then on. When the process has run out of descriptors, accepting pauses for
    100 ms at a time; accepted connections are not disturbed. So does it when another process has
    shut the socket down, as a supervisor does that stops. The file of a Unix socket is removed at
    the end, at the latest when the process exits.
    """

    def __init__(
        self,
        where: Endpoint | _socket.socket | PassedSocket,
        dispatcher: EventDispatcher,
        on_accepted: OnAccepted,
        runtime: Runtime,
        accepts_per_turn: int = ACCEPTS_PER_TURN,
        reuse_port: bool = False,
    ) -> None:
        """Bind and listen; port 0 lets the system choose. A bound socket is taken over, a passed
        one is copied. With `reuse_port` the port of an Endpoint is shared with others that do so.

        Blocks if a name has to be resolved. Raises ListenError. `start()` begins to accept.
        """
        self.accepted = 0
        self._dispatcher = dispatcher
        self._on_accepted = on_accepted
        self._accepts_per_turn = accepts_per_turn
        self._is_accepting = False
        self._out_of_log = LimitedLog(TRANSPORT)
        self._owner_sock = where if isinstance(where, _socket.socket) else None
        self._sock: _socket.socket | None = None
        self._file: SocketFile | None = None
        self._sock, self._file = listen(where, reuse_port)
        try:
            self.endpoint = Endpoint.from_sockaddr(self._sock.getsockname())
            """Its address, with the port that was chosen."""
            if self._file is not None:
                weakref.finalize(self, self._file.remove)
            runtime.acceptors.add(self)
        except BaseException:
            self.undo()
            raise

    def start(self) -> None:
        """Accept from the next turn on. Any thread."""
        self._dispatcher.post(self._resume)

    def close(self) -> None:
        """Stop listening. Any thread, never blocks.

        The descriptor is closed now if this is a turn of the dispatcher, else in the next turn.
        """
        if self._dispatcher.is_current():
            self._close()
            return
        try:
            self._dispatcher.post(self._close)
        except DispatcherClosedError:
            self.abandon()

    def undo(self) -> None:
        """Listen no more, because what was to follow has failed. Instead of `close`.

        Before `start`. The address is free at once. A socket that was given stays open: it is its
        owner's again.
        """
        if self._sock is self._owner_sock:
            self._sock = None
        self.abandon()

    def abandon(self) -> None:
        """Close the descriptor without the dispatcher, which has ended or belongs to a parent
        process."""
        sock, self._sock = self._sock, None
        self._is_accepting = False
        if self._file is not None:
            self._file.remove()
        if sock is not None:
            sock.close()

    def _resume(self) -> None:
        if self._sock is not None and not self._is_accepting:
            self._is_accepting = True
            self._dispatcher.require_polling()
            self._dispatcher.add_reader(self._sock.fileno(), self._on_readable)

    def _close(self) -> None:
        self._stop_accepting()
        self.abandon()

    def _stop_accepting(self) -> None:
        if self._sock is not None and self._is_accepting:
            self._is_accepting = False
            self._dispatcher.release_polling()
            self._dispatcher.remove_reader(self._sock.fileno())

    def _on_readable(self) -> None:
        budget = self._dispatcher.budget
        if budget is not None and budget.is_spent:
            # Wait for the turn of what is long.
            budget.charge(2 * LONG_S)
            return
        started_at = time.monotonic()
        try:
            self._accept_some(started_at + STEP_S)
        finally:
            if budget is not None:
                budget.charge(time.monotonic() - started_at)

    def _accept_some(self, stops_at: float) -> None:
        for _ in range(self._accepts_per_turn):
            sock = self._sock
            if sock is None or not self._accept_one(sock) or time.monotonic() >= stops_at:
                return

    def _accept_one(self, sock: _socket.socket) -> bool:
        """False if there is nothing more to accept in this turn."""
        try:
            accepted, _ = sock.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            return self._handle_error(error)
        self.accepted += 1
        try:
            self._on_accepted(accepted)
        except OSError:
            # The peer has closed already, so options can't be set any more.
            accepted.close()
        except BaseException:
            accepted.close()
            raise
        return True

    def _handle_error(self, error: OSError) -> bool:
        if error.errno not in _OUT_OF_RESOURCES and error.errno != errno.EINVAL:
            # Only this connection is lost (ECONNABORTED, EPROTO, a firewall's EPERM): accept(2).
            return True
        if error.errno != errno.EINVAL:
            reason = os.strerror(error.errno)
            self._out_of_log.warn("%r can't accept for %g s: %s", self, PAUSE_S, reason)
        # A socket that doesn't listen any more stays readable, so it must not be polled.
        self._stop_accepting()
        self._dispatcher.call_at(time.monotonic() + PAUSE_S, self._resume)
        return False

    def __repr__(self) -> str:
        state = "accepting" if self._is_accepting else "not accepting"
        if self._sock is None:
            state = "closed"
        return f"<Acceptor on {self.endpoint}, {state}, {self.accepted} accepted>"
