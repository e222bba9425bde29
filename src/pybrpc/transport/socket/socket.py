"""Socket: one TCP (or Unix) connection, seen from either end, that any thread writes to.

Holds its parts: a SocketWriter (the queue and who writes), a Backlog (how much may be queued), a
SocketReader (reading and cutting), a ConnectionLayer (TLS, if any), a Connecting (until messages
can flow) and a GracefulClose (once they shall end). After bRPC's `Socket`.
"""

from __future__ import annotations

import contextlib
import socket as _socket
from typing import TYPE_CHECKING, TypedDict, Unpack

from pybrpc.base.atomic import AtomicRef, atomic_ref
from pybrpc.base.deadline import NEVER
from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.transport.connecting.connecting import Connecting
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher, run_cleanup
from pybrpc.transport.interfaces import PLAIN, AppConnect, ConnectionLayer, SocketUser, TlsInfo
from pybrpc.transport.socket.graceful_close import GracefulClose
from pybrpc.transport.socket.message_cutter import MessageCutter
from pybrpc.transport.socket.peer_address import remote_side_of
from pybrpc.transport.socket.reader import SocketReader
from pybrpc.transport.socket.socket_table import SOCKETS, SocketId
from pybrpc.transport.socket.statistics import SocketStatistics
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.writing.backlog import Backlog, drain, wait_for_room
from pybrpc.transport.writing.errors import overcrowded_error, write_shutdown_error
from pybrpc.transport.writing.outcomes import PendingOutcome, run_outcomes
from pybrpc.transport.writing.process_backlog import ProcessBacklog
from pybrpc.transport.writing.write_request import Outcome, SocketMessage, WriteRequest
from pybrpc.transport.writing.writer import SocketWriter

if TYPE_CHECKING:
    from pybrpc.protocols.message import Message

DEFAULT_CONNECT_TIMEOUT_S = 1.0
DEFAULT_HANDSHAKE_TIMEOUT_S = 5.0
LINGER_S = 2.0


class SocketSetup(TypedDict, total=False):
    """Who uses a socket and how.

    user                       told of messages and of failure; without one nothing is read
    cutter                     what the messages look like
    connect_timeout_s          for connecting, with resolving and handshakes; `None` for no limit
    handshake_timeout_s        for the handshakes of an accepted socket; `None` for no limit
    layer                      between the messages and the descriptor (TLS); this socket's own
    app_connect                what the protocol says before its first message; this socket's own
    pauses_reads_when_crowded  stop reading while the peer doesn't read what is written to it
    unanswered                      nothing is read while it is crowded; the user's
    process_backlog            counts what is queued, along with other sockets'
    is_awaited                 nothing comes but what callers wait for
    """

    user: SocketUser | None
    options: SocketOptions | None
    cutter: MessageCutter | None
    connect_timeout_s: float | None
    handshake_timeout_s: float | None
    layer: ConnectionLayer | None
    app_connect: AppConnect | None
    pauses_reads_when_crowded: bool
    unanswered: Backlog | None
    process_backlog: ProcessBacklog | None
    is_awaited: bool


class Socket:
    """One connection.

    Make one with `Socket.to(endpoint, ...)`, which connects on its first write, or with
    `Socket.of(connected_socket, ...)`, which takes the descriptor over. `start_write` may be
    called by any thread, from signal handlers and destructors too, and never blocks. A socket
    that has failed stays so: `error` says why, its descriptor is closed, a new one must be made.
    """

    __slots__ = (
        "__weakref__",
        "_closing",
        "_connecting",
        "_failure",
        "_is_attended",
        "_is_awaited",
        "_reader",
        "_refused",
        "_sock",
        "_user",
        "_writer",
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
        *,
        user: SocketUser | None = None,
        options: SocketOptions | None = None,
        cutter: MessageCutter | None = None,
        connect_timeout_s: float | None = DEFAULT_CONNECT_TIMEOUT_S,
        handshake_timeout_s: float | None = DEFAULT_HANDSHAKE_TIMEOUT_S,
        layer: ConnectionLayer | None = None,
        app_connect: AppConnect | None = None,
        pauses_reads_when_crowded: bool = False,
        unanswered: Backlog | None = None,
        process_backlog: ProcessBacklog | None = None,
        is_awaited: bool = False,
    ) -> None:
        self.options = options or SocketOptions()
        self.dispatcher = dispatcher
        self.remote_side = remote_side
        self.local_side: Endpoint | None = None
        self.error: RpcError | None = None
        self.fd = -1
        self.is_connected = False
        self.layer = layer or PLAIN
        self.backlog = Backlog(
            self.options.high_water, self.options.low_water_bytes, process_backlog
        )
        self._writer = SocketWriter(self.backlog)
        self._reader = SocketReader(
            cutter or MessageCutter(), pauses_reads_when_crowded, unanswered
        )
        self._connecting = Connecting(
            connect_timeout_s, handshake_timeout_s, app_connect, self._reader.buffer
        )
        self._closing: GracefulClose | None = None
        self._sock: _socket.socket | None = None
        self._user = user
        self._is_awaited = is_awaited
        self._is_attended = False
        self._refused = 0
        self._failure: AtomicRef[RpcError | None] = atomic_ref(None)
        self.id = SOCKETS.add(self)

    @classmethod
    def to(
        cls, endpoint: Endpoint, dispatcher: EventDispatcher, **setup: Unpack[SocketSetup]
    ) -> Socket:
        """A client socket without a descriptor; its first write connects it."""
        return cls(dispatcher, endpoint, **setup)

    @classmethod
    def of(
        cls, sock: _socket.socket, dispatcher: EventDispatcher, **setup: Unpack[SocketSetup]
    ) -> Socket:
        """Take over a connected socket: accepted, or one end of a pair."""
        socket = cls(dispatcher, None, **setup)
        socket.options.apply_to(sock)
        socket.adopt(sock)
        if socket._connecting.needs_handshake(socket):
            socket._writer.hold()
            socket._connecting.accept(socket)
        else:
            socket.is_connected = True
            if socket._user is not None:
                dispatcher.post(socket._tell_connected)
        return socket

    @staticmethod
    def address(socket_id: SocketId) -> Socket | None:
        """The socket of that id, or `None` if it has failed or is gone. Never somebody else's."""
        return SOCKETS.address(socket_id)

    def set_user(self, user: SocketUser) -> None:
        """Say who uses it, before the first write."""
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
        """Queue one message, and write it at once if nobody else writes.

        `data` is an IOBuf, which is taken (left empty), or a SocketMessage, which is turned into
        bytes when its turn comes. The bytes of one message are contiguous on the wire; messages
        of one thread arrive in its order.

        What is refused is raised, and nothing is queued: OvercrowdedError, WriteShutdownError, or
        the error with which the socket has failed. What is accepted ends in exactly one outcome:
        `on_outcome(error)` if it failed, `on_outcome(None)` when the kernel has taken all of it
        and `notify_on_success` is set. It is called by whichever thread finds out, the caller's
        included, while no write right is held; it may write again.

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
        """`start_write` of a request that was made already; the hot path of calls."""
        if self.error is not None:
            raise self.error.copy()
        if self._writer.pending.is_shutdown:
            raise write_shutdown_error()
        if not self.backlog.try_add(request.size_bytes, ignore_eovercrowded):
            self._refused += 1
            raise overcrowded_error(self)
        self._writer.write(self, request)

    def wait_writable(self, deadline: float = NEVER) -> None:
        """Block until the backlog is under its mark.

        Raises RpcTimeoutError at `deadline` (monotonic seconds), or the socket's error.
        Not for the thread of the dispatcher.
        """
        wait_for_room(self, deadline)

    async def drain(self) -> None:
        """Wait, in any asyncio loop, until the backlog is under its mark, or raise the error."""
        await drain(self)

    # --- failing and closing ---

    def set_failed(self, error: RpcError) -> bool:
        """Fail the connection: everybody who waits on it is told `error`; its descriptor closes.

        False if it had failed before. Any thread, never blocks.
        """
        deliveries = self.mark_failed(error)
        run_outcomes(deliveries)
        return bool(deliveries)

    def mark_failed(self, error: RpcError) -> list[PendingOutcome]:
        """`set_failed` without telling anybody: what is left to run_outcomes, once no right is held."""
        is_first = self._failure.compare_and_set(None, error)
        # By all, not just the first: whoever goes on from here must find the socket failed.
        self.error = self._failure.get()
        if not is_first:
            return []
        SOCKETS.remove(self.id)
        if self._sock is not None and not self.layer.writes_in_background:
            with contextlib.suppress(OSError):
                self._sock.shutdown(_socket.SHUT_RDWR)
        run_cleanup(self.dispatcher, self._close)
        return [(self._tell_failed, error)]

    def close(self) -> None:
        """Close the connection now; what is not written is failed with ECLOSE."""
        text = f"{self.description} was closed by this side"
        peer = str(self.remote_side or "")
        self.set_failed(make_rpc_error(ErrorCode.ECLOSE, text, phase=Phase.WAITING, peer=peer))

    def close_after_write(self, data: IOBuf, linger_s: float = LINGER_S) -> None:
        """Write a last message, shut writing down, throw away what still arrives until EOF.

        A peer that does not close in turn is closed `linger_s` seconds after it was given all, one
        that takes nothing after 10. Called again it can only shorten the linger. Inside a turn.
        """
        if self._closing is not None:
            self._closing.hasten(linger_s)
            return
        self.discard_reads()
        self._closing = GracefulClose(self, linger_s, self._reader.has_ended)
        self._closing.start(data)

    def discard_reads(self) -> None:
        """Read on, but throw away what comes. Inside a turn."""
        self._reader.discard_from_now_on()

    def abandon(self) -> None:
        """Drop a connection that belongs to the parent of this forked process.

        Closes this process's copy of the descriptor and tells nobody: the callers' threads don't
        exist here. Touches neither the connection nor the dispatcher.
        """
        SOCKETS.remove(self.id)
        self.error = make_rpc_error(ErrorCode.EFAILEDSOCKET, "belongs to the parent process")
        self._failure.compare_and_set(None, self.error)
        self._user = None
        # The layer's last words would go into the parent's stream.
        self.layer = PLAIN
        self._connecting.abandon()
        self.close_descriptor()

    def raise_if_failed(self) -> None:
        if self.error is not None:
            raise self.error.copy()

    def __del__(self) -> None:
        # Only when the write right was lost: a signal handler raised where it was being passed on.
        sock: _socket.socket | None = getattr(self, "_sock", None)
        if sock is not None:
            sock.close()

    # --- what it is ---

    @property
    def is_failed(self) -> bool:
        return self.error is not None

    @property
    def messages_read(self) -> int:
        return self._reader.messages_read

    @property
    def is_reading_paused(self) -> bool:
        """Whether nothing is read because something is crowded. Inside a turn."""
        return self._reader.is_paused

    @property
    def tls(self) -> TlsInfo | None:
        """What was agreed on; `None` without TLS, or before its handshake is over."""
        return self.layer.tls

    @property
    def description(self) -> str:
        """ "10.0.0.1:8000 (socket 3, fd 7)", for texts of errors and logs."""
        peer = self.remote_side or "a pair"
        return f"{peer} (socket {self.id}, fd {self.fd})"

    def statistics(self) -> SocketStatistics:
        """What this socket has done so far. Any thread; the counts are not one snapshot."""
        writer, reader = self._writer, self._reader
        return SocketStatistics(
            bytes_written=writer.bytes_written,
            bytes_read=reader.bytes_read,
            messages_written=writer.pending.messages_written,
            messages_read=reader.messages_read,
            writes=writer.writes,
            writes_blocked=writer.writes_blocked,
            written_in_place=writer.in_place,
            handed_over=writer.pending.messages_written - writer.in_place,
            reads=reader.reads,
            backlog_bytes=self.backlog.size_bytes,
            is_overcrowded=self.backlog.is_overcrowded,
            refused_overcrowded=self._refused,
        )

    def __repr__(self) -> str:
        if self.error is not None:
            state = f"failed: {self.error.text}"
        elif self.is_connected:
            state = "connected"
        else:
            state = self._connecting.state
        crowded = ", crowded" if self.backlog.is_overcrowded else ""
        return (
            f"<Socket {self.id} to {self.remote_side or 'a pair'}, {state}, "
            f"{self.backlog.size_bytes} bytes queued{crowded}>"
        )

    # --- called by the parts and by the dispatcher ---

    def keep_write(self) -> None:
        self._writer.keep_write(self)

    def on_writable(self) -> None:
        self._writer.on_writable(self)

    def on_readable(self) -> None:
        self._writer.on_read()
        self._reader.on_readable(self)

    def flush_layer(self) -> None:
        self._writer.flush(self)

    def resume_reading(self) -> None:
        self._reader.resume(self)

    def restart_reading(self) -> None:
        self._reader.restart(self)

    def dispatch_messages(self, messages: list[Message]) -> None:
        user = self._user
        if user is not None:
            user.on_messages(self, messages)

    def on_end(self, error: RpcError) -> bool:
        """Nothing more will be read that makes sense: True to stay, for what is to be written."""
        if self._closing is not None:
            return self._closing.on_end()
        user = self._user
        return user is not None and user.on_end(self, error)

    def start_connecting(self) -> None:
        """The first writer, with the right: connect, then write."""
        self._connecting.connect(self)

    def stop_connecting(self) -> None:
        """Inside a turn, after failure."""
        if self._connecting.stop():
            self._writer.keep_write(self)

    def adopt(self, sock: _socket.socket) -> None:
        """Make a descriptor that is connected this socket's."""
        self._sock = sock
        self.fd = sock.fileno()
        self.local_side = Endpoint.from_sockaddr(sock.getsockname())
        if self.remote_side is None:
            self.remote_side = remote_side_of(sock)

    def on_established(self) -> None:
        """With the write right: write what was queued, then tell the user, then read."""
        self.is_connected = True
        self._writer.keep_write(self)
        if self._user is not None:
            self._tell_connected()

    def on_connect_failed(self, error: RpcError) -> None:
        """With the write right: tell everybody."""
        deliveries = self.mark_failed(error)
        self._writer.keep_write(self)
        run_outcomes(deliveries)

    def shutdown_write_side(self) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(_socket.SHUT_WR)

    def close_descriptor(self) -> None:
        """Only by the holder of the write right, after reading has stopped."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self.layer.close(self.fd)
        self.fd = -1
        if sock is not None:
            sock.close()

    def _tell_connected(self) -> None:
        user = self._user
        if self.error is None and user is not None:
            run_outcomes([(user.on_connected, self)])
        if self.error is None:
            self._reader.start(self)
            self._attend()

    def _attend(self) -> None:
        if not self._is_awaited:
            self._is_attended = True
            self.dispatcher.require_polling()

    def _close(self) -> None:
        self._reader.stop(self)
        if self._is_attended:
            self._is_attended = False
            self.dispatcher.release_polling()
        if self._closing is not None:
            self._closing.end()
        self.stop_connecting()
        self._writer.close(self)

    def _tell_failed(self, error: RpcError) -> None:
        user, self._user = self._user, None
        self.backlog.close()
        if user is not None:
            user.on_failed(self, error)
