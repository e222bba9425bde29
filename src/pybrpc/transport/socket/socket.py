"""Socket: one TCP (or Unix) connection, seen from either end, that any thread writes to.

It is a SocketCore, the state that its parts share, and has the parts: a SocketWriter (the queue and
the right to write), a SocketReader (reading and cutting), a Connecting (until messages can flow)
and a GracefulClose (while the connection ends). After bRPC's `Socket`.
"""

from __future__ import annotations

import contextlib
import socket as _socket
from typing import TYPE_CHECKING, Unpack

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import TRANSPORT, UserCodeError, is_class_of_library, run_guarded
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.session import Session
from pybrpc.transport.connecting.connecting import Connecting
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.interfaces import PLAIN, AppConnect, ConnectionLayer, TlsInfo
from pybrpc.transport.socket.graceful_close import GracefulClose
from pybrpc.transport.socket.peer_address import remote_side_of
from pybrpc.transport.socket.reader import SocketReader
from pybrpc.transport.socket.round_trip import RoundTrip, round_trip_of
from pybrpc.transport.socket.setup import (
    DEFAULT_CONNECT_TIMEOUT_S,
    DEFAULT_HANDSHAKE_TIMEOUT_S,
    SocketSetup,
    SocketUser,
)
from pybrpc.transport.socket.statistics import SocketStatistics, statistics_of
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.socket_table import SOCKETS, SocketId
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.errors import overcrowded_error, write_shutdown_error
from pybrpc.transport.writing.outcomes import InternalOutcome, Outcome
from pybrpc.transport.writing.process_backlog import ProcessBacklog
from pybrpc.transport.writing.socket_core import SocketCore
from pybrpc.transport.writing.write_request import SocketMessage, WriteRequest
from pybrpc.transport.writing.writer import SocketWriter

if TYPE_CHECKING:
    from pybrpc.protocols.message import Message

LINGER_S = 2.0


class Socket(SocketCore):
    """One connection.

    Make one with `Socket.to(endpoint, ...)`, which connects on its first write, or with
    `Socket.of(connected_socket, ...)`, which takes the descriptor over. `start_write` may be
    called by any thread, from signal handlers and destructors too, and never blocks. A socket
    that has failed stays so: `error` says why, its descriptor is closed, a new one must be made.
    """

    __slots__ = (
        "_closing",
        "_connecting",
        "_is_awaited",
        "_reader",
        "_refused",
        "_requires_polling",
        "_user",
        "_writer",
    )

    def __init__(
        self,
        dispatcher: EventDispatcher,
        remote_side: Endpoint | None,
        *,
        user: SocketUser | None = None,
        options: SocketOptions | None = None,
        session: Session | None = None,
        connect_timeout_s: float | None = DEFAULT_CONNECT_TIMEOUT_S,
        handshake_timeout_s: float | None = DEFAULT_HANDSHAKE_TIMEOUT_S,
        layer: ConnectionLayer | None = None,
        app_connect: AppConnect | None = None,
        pauses_reads_when_overcrowded: bool = False,
        unanswered: Backlog | None = None,
        process_backlog: ProcessBacklog | None = None,
        is_awaited: bool = False,
    ) -> None:
        SocketCore.__init__(
            self, dispatcher, remote_side, options or SocketOptions(), layer, process_backlog
        )
        self._writer = SocketWriter(self.backlog)
        self._reader = SocketReader(
            session or MessageCutter(), self._writer, pauses_reads_when_overcrowded, unanswered
        )
        self._connecting = Connecting(
            connect_timeout_s, handshake_timeout_s, app_connect, self._reader.buffer, self._writer
        )
        self._closing: GracefulClose | None = None
        self._user = user
        self._is_awaited = is_awaited
        self._requires_polling = False
        self._refused = 0

    @classmethod
    def to(
        cls, endpoint: Endpoint, dispatcher: EventDispatcher, **setup: Unpack[SocketSetup]
    ) -> Socket:
        """A client socket without a descriptor; its first write connects it to `endpoint`, and
        `dispatcher` polls it."""
        return cls(dispatcher, endpoint, **setup)

    @classmethod
    def of(
        cls, sock: _socket.socket, dispatcher: EventDispatcher, **setup: Unpack[SocketSetup]
    ) -> Socket:
        """Take over a connected `sock`: accepted, or one end of a pair. `dispatcher` polls it."""
        socket = cls(dispatcher, None, **setup)
        socket.options.apply_to(sock)
        socket.adopt(sock)
        socket.remote_side = remote_side_of(sock)
        if socket._connecting.needs_handshake(socket):
            socket._writer.hold()
            socket._connecting.accept(socket)
        else:
            socket.is_connected = True
            if TRANSPORT.wants_debug():
                TRANSPORT.debug("%s is connected", socket.description)
            if socket._user is not None:
                dispatcher.post(socket.begin_use)
        return socket

    @staticmethod
    def address(socket_id: SocketId) -> Socket | None:
        """The socket of that id, or `None` if it has failed or is gone. Never another one."""
        return SOCKETS.address(socket_id)

    def set_user(self, user: SocketUser) -> None:
        """Set the user that gets the events. Before the first write."""
        self._user = user

    # --- writing ---

    def start_write(
        self,
        data: IOBuf | SocketMessage,
        *,
        on_outcome: Outcome | None = None,
        notify_on_success: bool = False,
        shutdown_write: bool = False,
        ignore_eovercrowded: bool = False,
    ) -> None:
        """Queue one message, and write it at once if no other thread writes.

        `data` is an IOBuf, which is taken (left empty), or a SocketMessage, which is turned into
        bytes when its turn comes. The bytes of one message are contiguous on the wire; messages
        of one thread arrive in its order.

        If the message is refused, nothing is queued, and this raises OvercrowdedError,
        WriteShutdownError, or the error with which the socket has failed. An accepted message has
        exactly one outcome: `on_outcome(error)` if it failed, `on_outcome(None)` when the kernel
        has taken all of it and `notify_on_success` is set. The dispatcher calls it, in a turn; it
        may write again. What it raises is logged.

        With `ignore_eovercrowded` it is queued whatever the backlog is.
        `shutdown_write` shuts the writing side down after this message. Any thread, re-entrant,
        never blocks. Source: bRPC `Socket::Write`.
        """
        if isinstance(data, IOBuf):
            taken = IOBuf()
            taken.swap(data)
            request = WriteRequest(taken, None, on_outcome, notify_on_success, shutdown_write)
        else:
            request = WriteRequest(IOBuf(), data, on_outcome, notify_on_success, shutdown_write)
            request.size_bytes = getattr(data, "size_hint_bytes", 0)
        self.write_request(request, ignore_eovercrowded)

    def write_request(self, request: WriteRequest, ignore_eovercrowded: bool = False) -> None:
        """`start_write` of a `request` that was made already; the hot path of calls.
        `ignore_eovercrowded`: as there."""
        if self.error is not None:
            raise self.error.copy()
        if self._writer.pending.is_shutdown:
            raise write_shutdown_error()
        if not self.backlog.try_add(request.size_bytes, ignore_eovercrowded):
            self._refused += 1
            raise overcrowded_error(self)
        self._writer.write(self, request)

    def resume_writing(self) -> None:
        """The layer, which had no room, may have some again. Inside a turn.

        Without this call it is asked after a short pause.
        """
        if self.error is None:
            self._writer.on_writable(self)

    # --- closing (`fail` and `close` are SocketCore's) ---

    def close_gracefully(self, final_data: IOBuf, linger_s: float = LINGER_S) -> None:
        """Write `final_data`, shut writing down, throw away what still arrives until EOF.

        A peer that does not close in turn is closed `linger_s` seconds after it was given all, one
        that takes nothing after 10. Called again it can only shorten the linger. Inside a turn.
        """
        if self._closing is not None:
            self._closing.shorten_linger(linger_s)
            return
        self.discard_reads()
        closing = GracefulClose(self, linger_s, self._reader.has_ended)
        self._closing = closing
        closing.start()
        with contextlib.suppress(RpcError):
            self.start_write(
                final_data,
                on_outcome=InternalOutcome(closing.on_written),
                notify_on_success=True,
                shutdown_write=True,
                ignore_eovercrowded=True,
            )

    def read_now(self) -> None:
        """Read what has arrived and was not reported as readable yet. Inside a turn."""
        if self.is_connected and self.error is None:
            self._reader.on_readable(self)

    def read_while_overcrowded(self) -> None:
        """Don't pause reading any more while the peer does not read: for a layer that may write
        only after it has read. Inside a turn."""
        self._reader.read_while_overcrowded()

    def discard_reads(self) -> None:
        """Read on, but throw away what arrives. Inside a turn."""
        self._reader.discard_from_now_on()

    def abandon(self) -> None:
        """Drop a connection that belongs to the parent of this forked process.

        Closes this process's copy of the descriptor and calls nobody: the callers' threads don't
        exist here. Touches neither the connection nor the dispatcher.
        """
        SOCKETS.remove(self.id)
        self.error = make_rpc_error(ErrorCode.EFAILEDSOCKET, "belongs to the parent process")
        self._failure.compare_and_set(None, self.error)
        self._user = None
        # The closing message of the layer would go into the parent's stream.
        self.layer = PLAIN
        self._connecting.abandon()
        self.close_descriptor()

    # --- its state ---

    @property
    def session(self) -> Session:
        """The session that cuts the received bytes now: another one may replace it. In a turn."""
        return self._reader.session

    @property
    def messages_read(self) -> int:
        """Messages that were read so far."""
        return self._reader.messages_read

    @property
    def waits_for_kernel(self) -> bool:
        """Whether a write waits until the peer reads. Any thread."""
        return self._writer.waits_for_kernel

    @property
    def bytes_written(self) -> int:
        """Bytes that the kernel, or the layer, has taken so far."""
        return self._writer.bytes_written

    @property
    def is_reading_paused(self) -> bool:
        """Whether nothing is read because a backlog is overcrowded. Inside a turn."""
        return self._reader.is_paused

    @property
    def tls(self) -> TlsInfo | None:
        """Version, cipher, certificate; `None` without TLS, or before its handshake is over."""
        return self.layer.tls

    @property
    def user(self) -> SocketUser | None:
        """Gets the events of the socket; `None` without one, or once it has failed."""
        return self._user

    def round_trip(self) -> RoundTrip | None:
        """The round-trip time that the kernel has measured; `None` if it has not. Any thread."""
        return round_trip_of(self._sock)

    def statistics(self) -> SocketStatistics:
        """Its counts so far. Any thread; the counts are not one snapshot."""
        return statistics_of(self._writer, self._reader, self._refused)

    def __repr__(self) -> str:
        if self.error is not None:
            state = f"failed: {self.error.text}"
        else:
            state = "connected" if self.is_connected else self._connecting.state
        overcrowded = ", overcrowded" if self.backlog.is_overcrowded else ""
        return (
            f"<Socket {self.id} to {self.remote_side or 'a pair'}, {state}, "
            f"{self.backlog.size_bytes} bytes queued{overcrowded}>"
        )

    # --- methods that its parts call (see SocketCore) ---

    def start_connecting(self) -> None:
        self._connecting.connect(self)

    def connecting_phase(self) -> Phase:
        return self._connecting.phase

    def on_established(self) -> None:
        if self._user is not None:
            self.begin_use()

    def begin_use(self) -> None:
        """Notify the user that the socket is connected, then read. Inside a turn."""
        user = self._user
        if self.error is None and user is not None:
            try:
                user.on_connected(self)
            except BaseException as error:
                is_users = not is_class_of_library(type(user))
                self.fail_as_raised("on_connected", UserCodeError(error) if is_users else error)
        if self.error is None:
            self._reader.start(self)
            if not self._is_awaited:
                self._requires_polling = True
                self.dispatcher.require_polling()

    def dispatch_messages(self, messages: list[Message]) -> None:
        user = self._user
        if user is not None:
            try:
                user.on_messages(self, messages)
            except BaseException as error:
                if is_class_of_library(type(user)):
                    raise
                raise UserCodeError(error) from None

    def write_output(self, data: IOBuf) -> None:
        if self.backlog.exceeds_hard_limit(len(data)):
            self.fail(overcrowded_error(self))
        with contextlib.suppress(RpcError):
            self.start_write(data, ignore_eovercrowded=True)

    def on_end(self, error: RpcError) -> bool:
        if self._closing is not None:
            return self._closing.on_peer_end()
        user = self._user
        if user is None:
            return False
        try:
            return user.on_end(self, error)
        except BaseException as reason:
            if is_class_of_library(type(user)):
                raise
            raise UserCodeError(reason) from None

    def close_parts(self) -> None:
        self._reader.stop(self)
        if self._requires_polling:
            self._requires_polling = False
            self.dispatcher.release_polling()
        if self._closing is not None:
            self._closing.cancel_timers()
        self._connecting.stop(self)
        self._writer.close(self)

    def report_failure(self, error: RpcError) -> None:
        user, self._user = self._user, None
        TRANSPORT.debug("socket %s to %s has ended: %s", self.id, self.remote_side, error.text)
        self.backlog.close()
        if user is not None:
            what = f"on_failed of {self.description}"
            run_guarded(user.on_failed, self, error, what=what, log=TRANSPORT)
