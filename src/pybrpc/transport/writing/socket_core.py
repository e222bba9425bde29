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
import time
from functools import partial
from typing import TYPE_CHECKING

from pybrpc.base.atomic import AtomicRef, atomic_ref
from pybrpc.base.deadline import NEVER
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import TRANSPORT, UserCodeError, deliver_interrupt, is_of_library, safe_repr
from pybrpc.base.wake_list import block_until_woken, until_woken
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.transport.dispatch.event_dispatcher import (
    DispatcherClosedError,
    EventDispatcher,
    run_cleanup,
)
from pybrpc.transport.interfaces import PLAIN, ConnectionLayer
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.socket_table import SOCKETS, SocketId
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.process_backlog import ProcessBacklog

if TYPE_CHECKING:
    from pybrpc.iobuf import IOBuf
    from pybrpc.protocols.message import Message


class SocketCore:
    """One connection, as its parts see it."""

    __slots__ = (
        "__weakref__",
        "_failure",
        "_sock",
        "backlog",
        "budget",
        "dispatcher",
        "error",
        "fd",
        "id",
        "is_connected",
        "layer",
        "local_side",
        "made_at",
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
        self.budget = dispatcher.budget
        """Where this socket charges what it does in turns; `None` if its dispatcher bounds them."""
        self.remote_side = remote_side
        self.local_side: Endpoint | None = None
        self.error: RpcError | None = None
        self.fd = -1
        self.is_connected = False
        self.made_at = time.monotonic()
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
        """Tell the peer that nothing more comes. Called by the holder of the write right."""
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
        """Fail the connection with `error`: nothing is written any more. The rest follows in turns
        of the dispatcher: its descriptor closes, the user of the socket and each queued write get
        the error. So this runs nobody's code, unless the dispatcher is closed.

        False if it had failed before. Any thread, never blocks. Not for the holder of the write
        right.
        """
        is_first = self._note_failure(error)
        if is_first:
            run_cleanup(self.dispatcher, partial(self.finish_fail, error))
        return is_first

    def begin_fail(self, error: RpcError) -> bool:
        """`fail` for the holder of the write right. True if no turn will come any more: then the
        caller has to call `finish_fail`, once it has given the right back.
        """
        if self._note_failure(error):
            try:
                self.dispatcher.post_cleanup(partial(self.finish_fail, error))
            except DispatcherClosedError:
                return True
        return False

    def finish_fail(self, error: RpcError) -> None:
        """Close it and tell its user. Inside a turn, or in any thread if no turn will come any
        more."""
        try:
            self.close_parts()
        finally:
            self.report_failure(error)

    def _note_failure(self, error: RpcError) -> bool:
        """False if it had failed before."""
        is_first = self._failure.compare_and_set(None, error)
        # Every caller sets it, not only the first: all must find the socket failed from here on.
        self.error = self._failure.get()
        if is_first:
            SOCKETS.remove(self.id)
            if self._sock is not None and not self.layer.writes_in_background:
                with contextlib.suppress(OSError):
                    self._sock.shutdown(_socket.SHUT_RDWR)
        return is_first

    def fail_as_raised(self, what: str, error: BaseException) -> None:
        """Fail it because `what` raised, which is mostly code of the user. Inside a turn.

        That is logged; of a UserCodeError the reason. An error in which no code of the user has a
        part is raised again: another thread may have set it in this one, and the dispatcher knows
        whom it is for.
        """
        # In the turn of a caller what is raised comes from a handler of a signal: other code of the
        # user is guarded.
        is_callers = bool(getattr(self.dispatcher, "is_callers_turn", False))
        is_interruption = is_callers or is_of_library(error)
        if isinstance(error, UserCodeError):
            error = error.reason
        what = f"{what} of {self.description}"
        text = f"{what} raised {safe_repr(error)}"
        peer = str(self.remote_side or "")
        self.fail(make_rpc_error(ErrorCode.EINTERNAL, text, phase=Phase.WAITING, peer=peer))
        if is_interruption:
            raise error
        TRANSPORT.raised("%s raised", what, error=error)
        deliver_interrupt(error)

    def close(self) -> None:
        """Close the connection now; unwritten messages fail with ECLOSE."""
        text = f"{self.description} was closed by this side"
        peer = str(self.remote_side or "")
        self.fail(make_rpc_error(ErrorCode.ECLOSE, text, phase=Phase.WAITING, peer=peer))

    @property
    def is_failed(self) -> bool:
        """Whether it has failed or was closed; `error` says why."""
        return self.error is not None

    def raise_if_failed(self) -> None:
        """Raise a copy of `error`, if there is one."""
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

    @property
    def bytes_written(self) -> int:
        """Bytes that the kernel, or the layer, has taken so far."""
        raise NotImplementedError

    def connecting_phase(self) -> Phase:
        """The step of connecting that is under way. Any thread."""
        raise NotImplementedError

    def on_established(self) -> None:
        """The connection is established, and what was queued meanwhile is being written."""
        raise NotImplementedError

    def dispatch_messages(self, messages: list[Message]) -> None:
        """Hand the messages of one read to the user of the socket. Inside a turn."""
        raise NotImplementedError

    def write_output(self, data: IOBuf) -> None:
        """Write what the session of this connection answers by itself. `data` is left empty."""
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
        """Tell the user of the socket that it has failed. Inside a turn, or in any thread if no
        turn will come any more; without the write right."""
        raise NotImplementedError
