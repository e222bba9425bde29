"""SocketCore: the state that all parts of one socket share, and how a socket fails.

`Socket` derives from it. The parts (SocketWriter, SocketReader, Connecting, GracefulClose) get the
socket as an argument of their methods, typed as SocketCore. They keep no reference to it, so that
a socket that nobody uses any more is freed at once, without the garbage collector.

A part calls the parts below it directly. To reach the parts above it, it calls the methods at the
end of the class, which `Socket` implements.
"""

from __future__ import annotations

import contextlib
import socket as _socket
from typing import TYPE_CHECKING

from pybrpc.base.atomic import AtomicRef, atomic_ref
from pybrpc.base.deadline import NEVER
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.wake_list import block_until_woken, until_woken
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher, run_cleanup
from pybrpc.transport.interfaces import PLAIN, ConnectionLayer
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.socket_table import SOCKETS, SocketId
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.outcomes import PendingOutcome, run_outcomes
from pybrpc.transport.writing.process_backlog import ProcessBacklog

if TYPE_CHECKING:
    from pybrpc.protocols.message import Message


class SocketCore:
    """One connection, as its parts see it."""

    __slots__ = (
        "__weakref__",
        "_failure",
        "_sock",
        "backlog",
        "dispatcher",
        "error",
        "fd",
        "id",
        "is_connected",
        "layer",
        "local_side",
        "options",
        "remote_side",
    )

    def __init__(
        self,
        dispatcher: EventDispatcher,
        remote_side: Endpoint | None,
        options: SocketOptions,
        layer: ConnectionLayer | None,
        process_backlog: ProcessBacklog | None,
    ) -> None:
        self.options = options
        self.dispatcher = dispatcher
        self.remote_side = remote_side
        self.local_side: Endpoint | None = None
        self.error: RpcError | None = None
        self.fd = -1
        self.is_connected = False
        self.layer = layer or PLAIN
        self.backlog = Backlog(options.high_water, options.low_water_bytes, process_backlog)
        self._sock: _socket.socket | None = None
        self._failure: AtomicRef[RpcError | None] = atomic_ref(None)
        self.id: SocketId = SOCKETS.add(self)

    # --- its descriptor ---

    def adopt(self, sock: _socket.socket) -> None:
        """Make a connected descriptor this socket's own. Only for the holder of the write right."""
        self._sock = sock
        self.fd = sock.fileno()
        self.local_side = Endpoint.from_sockaddr(sock.getsockname())

    def shutdown_write_side(self) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(_socket.SHUT_WR)

    def close_descriptor(self) -> None:
        """Only for the holder of the write right, after reading has stopped."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self.layer.close(self.fd)
        self.fd = -1
        if sock is not None:
            sock.close()

    def __del__(self) -> None:
        # Only if the write right was lost: a signal handler raised while it was handed over.
        sock: _socket.socket | None = getattr(self, "_sock", None)
        if sock is not None:
            sock.close()

    # --- failing ---

    def fail(self, error: RpcError) -> bool:
        """Fail the connection with `error`: its descriptor closes, each queued write and the user
        of the socket get the error.

        False if it had failed before. Any thread, never blocks.
        """
        outcomes = self.begin_fail(error)
        run_outcomes(outcomes)
        return bool(outcomes)

    def begin_fail(self, error: RpcError) -> list[PendingOutcome]:
        """`fail` without any callback: the caller passes the result to `run_outcomes`, once it
        holds no write right.
        """
        is_first = self._failure.compare_and_set(None, error)
        # Every caller sets it, not only the first: all must find the socket failed from here on.
        self.error = self._failure.get()
        if not is_first:
            return []
        SOCKETS.remove(self.id)
        if self._sock is not None and not self.layer.writes_in_background:
            with contextlib.suppress(OSError):
                self._sock.shutdown(_socket.SHUT_RDWR)
        run_cleanup(self.dispatcher, self.close_parts)
        return [(self.report_failure, error)]

    def close(self) -> None:
        """Close the connection now; unwritten messages fail with ECLOSE."""
        text = f"{self.description} was closed by this side"
        peer = str(self.remote_side or "")
        self.fail(make_rpc_error(ErrorCode.ECLOSE, text, phase=Phase.WAITING, peer=peer))

    @property
    def is_failed(self) -> bool:
        return self.error is not None

    def raise_if_failed(self) -> None:
        if self.error is not None:
            raise self.error.copy()

    @property
    def description(self) -> str:
        """ "10.0.0.1:8000 (socket 3, fd 7)", for texts of errors and logs."""
        peer = self.remote_side or "a pair"
        return f"{peer} (socket {self.id}, fd {self.fd})"

    # --- waiting for its backlog ---

    def wait_writable(self, deadline: float = NEVER) -> None:
        """Block until the backlog is under its mark.

        Raises RpcTimeoutError at `deadline` (monotonic seconds), or the socket's error.
        Not for the thread of the dispatcher.
        """
        backlog = self.backlog
        if backlog.refuses_writes() and self.error is None:
            is_writable = block_until_woken(backlog.when_writable, backlog.forget, deadline)
            if not is_writable and self.error is None:
                text = f"No room in the backlog of {self.description} before the deadline"
                peer = str(self.remote_side)
                raise make_rpc_error(ErrorCode.ERPCTIMEDOUT, text, phase=Phase.QUEUED, peer=peer)
        self.raise_if_failed()

    async def drain(self) -> None:
        """Wait, in any asyncio loop, until the backlog is under its mark, or raise the error."""
        backlog = self.backlog
        if backlog.refuses_writes() and self.error is None:
            await until_woken(backlog.when_writable, backlog.forget)
        self.raise_if_failed()

    # --- methods by which its parts reach the parts above them ---

    def start_connecting(self) -> None:
        """Connect, then write the queued requests. The caller hands over the write right."""
        raise NotImplementedError

    def on_established(self) -> None:
        """The connection is established, and what was queued meanwhile is being written."""
        raise NotImplementedError

    def dispatch_messages(self, messages: list[Message]) -> None:
        """Hand the messages of one read to the user of the socket. Inside a turn."""
        raise NotImplementedError

    def on_end(self, error: RpcError) -> bool:
        """The peer has shut its writing side, or sent invalid bytes. True if the socket stays open
        to write to the peer; False if it is to fail with `error`. Inside a turn.
        """
        raise NotImplementedError

    def close_parts(self) -> None:
        """Stop reading and connecting, fail what is queued, close the descriptor.

        Inside a turn, or in any thread if no turn will come any more.
        """
        raise NotImplementedError

    def report_failure(self, error: RpcError) -> None:
        """Tell the user of the socket that it has failed. Any thread, without the write right."""
        raise NotImplementedError
