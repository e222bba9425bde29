"""ServerConnection: one accepted connection; turns its messages into calls."""

from __future__ import annotations

import contextlib
import socket as _socket
from time import monotonic

from pybrpc.base.guard import SERVER, deliver_interrupt
from pybrpc.errors import ErrorCode, ProtocolError, RpcError, make_rpc_error
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.chooser import Chooser, new_server_session
from pybrpc.protocols.http1.http_protocol import HTTP
from pybrpc.protocols.message import BadMessage, Message, OversizedMessage, RpcRequest
from pybrpc.protocols.streaming.stream_frame import NO_STREAM, StreamFrame, data_meta, pack_data
from pybrpc.rpc.controller import Controller
from pybrpc.server.access_log.access_line import HttpSummary
from pybrpc.server.calls.call_end import RefusedRequest, write_answer
from pybrpc.server.calls.call_span import trace_rejected
from pybrpc.server.calls.failures import failure_of
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.calls.ordered_replies import OrderedReplies
from pybrpc.server.calls.server_call import ServerCall, new_server_call
from pybrpc.server.connections.closing import LONG_LINGER_S, ClosableConnection
from pybrpc.server.connections.credentials import authentication_failure, verify_credential
from pybrpc.server.connections.server_core import ServerCore
from pybrpc.server.values import UnfinishedConnection
from pybrpc.streams.table import StreamTable, making_lock
from pybrpc.tracing.switch import wants_server_span
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from pybrpc.transport.interfaces import bytes_held_by
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.process_backlog import ProcessBacklog

NO_LIMIT_BYTES = 1 << 39

INTERNAL_PROTOCOLS = (HTTP,)
"""Protocols of the internal port."""

SHARES = 4
"""A connection may hold 1/SHARES of the bytes that all connections together may hold."""


class ServerConnection(ClosableConnection):
    """The SocketUser of one accepted connection."""

    __slots__ = ("_end_error", "_has_begun", "_is_verified", "_streams", "active_at", "is_internal")

    def __init__(self, server: ServerCore, sock: _socket.socket, is_internal: bool = False) -> None:
        """Take over an accepted socket. If the peer has gone already, raise OSError or close the
        connection."""
        ClosableConnection.__init__(self, server)
        settings = server.settings
        self.active_at = monotonic()
        """Time of the last message that was completed, or answered."""
        self._is_verified = settings.auth is None
        self._streams: StreamTable | None = None
        self._end_error: RpcError | None = None
        """Why the peer sends nothing more."""
        self.auth_context = None
        self.tls = None
        self._has_begun = False
        """Whether a message has come, so that its session is known."""
        self.protocol = BAIDU_STD
        self.replies = None
        self.max_body_size = settings.limits.max_body_size
        self.is_internal = is_internal
        """Whether it came to the internal port: it speaks HTTP alone."""
        protocols = INTERNAL_PROTOCOLS if is_internal else settings.protocols
        self.unanswered = unanswered_backlog(server.unanswered)
        self.socket = Socket.of(
            sock,
            server.dispatcher,
            user=self,
            options=settings.options,
            session=new_server_session(settings.limits, protocols),
            handshake_timeout_s=settings.handshake_timeout_s,
            layer=None if settings.tls is None else settings.tls.new_layer(),
            pauses_reads_when_overcrowded=True,
            unanswered=self.unanswered,
            process_backlog=server.process_backlog,
        )
        if self.socket.remote_side is None:
            # Reset before it was accepted. The bytes that were sent before could still be read,
            # but they can't be ascribed to a peer, nor answered.
            self.socket.close()
        self.identity = f"[{self.socket.local_side}]"

    @property
    def unfinished_bytes(self) -> int:
        """Received bytes of an incomplete message, or of an incomplete record of TLS."""
        return self.socket.session.unfinished_bytes + bytes_held_by(self.socket.layer)

    @property
    def unfinished_memory_bytes(self) -> int:
        """Memory of an incomplete message, with the room allocated for the rest, in bytes."""
        return self.socket.session.memory_bytes + bytes_held_by(self.socket.layer)

    @property
    def messages_read(self) -> int:
        """Messages read. Of a protocol whose messages interleave: those that began before the one
        that is incomplete for longest."""
        mark: int | None = getattr(self.socket.session, "unfinished_mark", None)
        return self.socket.messages_read if mark is None else mark

    @property
    def is_in_head(self) -> bool:
        """Whether the incomplete message is the head of an HTTP request."""
        return bool(getattr(self.socket.session, "is_in_head", False))

    def on_connected(self, socket: Socket) -> None:
        """The handshake is over; the peer sends first."""
        self.tls = socket.tls
        session = socket.session
        if self.tls is not None and isinstance(session, Chooser):
            session.choose_by_alpn(self.tls.alpn)

    def on_messages(self, socket: Socket, messages: list[Message]) -> None:
        received_at = self.active_at = monotonic()
        if not self._has_begun:
            self._begin(socket)
        if self.exchange is not None:
            self.exchange.on_messages(messages)
            return
        if not self._is_verified and not self._verify(messages[0]):
            return
        calls: list[ServerCall] = []
        try:
            for message in messages:
                if type(message) is RpcRequest:
                    self._admit(message, received_at, calls)
                elif type(message) is StreamFrame:
                    self.stream_table().on_frame(message)
                elif not self._answers(message):
                    break
        except BaseException:
            # The socket fails, and nobody else knows these calls yet.
            self.end(calls)
            raise
        if self._streams is not None:
            self._streams.end_batch()
        if calls:
            self.start_calls(calls)
        if self.is_retired:
            self.retire()

    def _begin(self, socket: Socket) -> None:
        """The first messages have come: so the session is no Chooser any more."""
        self._has_begun = True
        session = socket.session
        self.protocol = session.protocol
        exchange = self.server.new_exchange(self, session.protocol)
        if exchange is not None:
            self.exchange = exchange
            self.replies = getattr(exchange, "replies", None)
        elif session.is_ordered:
            self.replies = OrderedReplies(socket, self.unanswered)

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        self._end_streams(error)
        return ClosableConnection.on_end(self, socket, error)

    def discard_input(self, reason: str) -> None:
        text = f"{self.socket.description} sent invalid bytes: {reason}"
        self._end_streams(ProtocolError(text, peer=self.peer, is_remote=True))
        ClosableConnection.discard_input(self, reason)

    def _end_streams(self, error: RpcError) -> None:
        # Store, then load: either this sees the table, or the thread that makes it sees the end.
        self._end_error = error
        if self._streams is not None:
            self._streams.fail_all(error)
        if self.exchange is not None:
            self.exchange.on_end(error)

    def stream_count(self) -> int:
        """Streams that are not over yet."""
        if self.exchange is not None:
            return self.exchange.stream_count
        return 0 if self._streams is None else len(self._streams.streams)

    def unfinished(self) -> UnfinishedConnection:
        """Description of the work that is left on the connection, for people."""
        holds = len(self._holds)
        return UnfinishedConnection(
            self.peer,
            self.state,
            running=len(self.calls),
            unwritten_bytes=self.socket.backlog.size_bytes,
            holds=holds,
            streams=min(self.stream_count(), holds),
        )

    def stream_table(self) -> StreamTable:
        table = self._streams
        if table is None:
            most = self.server.settings.max_streams_unconsumed_bytes
            made = StreamTable(self, self.socket, default_runtime().stream_budget, most)
            with making_lock():
                table = self._streams
                if table is None:
                    table = self._streams = made
            if self._end_error is not None:
                table.fail_all(self._end_error)
        return table

    def end(self, calls: list[ServerCall], data: IOBuf | None = None) -> None:
        self.server.call_end.end(self, calls, data)

    def on_calls_ended(self) -> None:
        server = self.server
        if server.has_idle_timeout:
            self.active_at = monotonic()
        if server.admission.is_stopping:
            server.review_stop()
        elif self.is_retired and not self.is_held():
            with contextlib.suppress(DispatcherClosedError):
                server.dispatcher.post(self.retire)

    def start_calls(self, calls: list[ServerCall]) -> None:
        """Run admitted calls. If they can't be started, fail the connection: none of them may be
        left unanswered."""
        try:
            self.server.start_calls(self, calls)
        except BaseException as error:
            SERVER.raised("%r can't start its calls", self, error=error)
            text = f"Fail to start calls: {type(error).__name__}"
            self.socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, text))
            self.end(calls)
            deliver_interrupt(error)

    def _verify(self, message: Message) -> bool:
        """Verify the credential of the first message. False if it is bad: then the message is
        rejected."""
        if type(message) is StreamFrame:
            self.discard_input("the client sent a frame of a stream before it was authenticated")
            return False
        server, client = self.server, self.socket.remote_side
        auth = server.settings.auth
        assert auth is not None
        assert client is not None
        try:
            self.auth_context = verify_credential(auth, message, client)
        except BaseException as reason:
            # Whatever the verifier raises, it has not accepted the client.
            server.requests += 1
            server.errors.increment_and_get(1)
            server.non_service_errors.add()
            response = authentication_failure(message.correlation_id, reason)
            packer = getattr(message, "packer", None) or self.protocol
            data = packer.pack_response(response)
            self.report_refused(message, response.error_code, len(data))
            self.close_gracefully(LONG_LINGER_S, data)
            what = self.socket.description
            server.auth_log.warn("Fail to authenticate %s", what, reason=reason)
            deliver_interrupt(reason)
            return False
        self._is_verified = True
        return True

    def _admit(self, request: RpcRequest, received_at: float, calls: list[ServerCall]) -> None:
        """Add the call of `request` to `calls`, or reject it: unknown method, or limit reached."""
        server = self.server
        server.requests += 1
        entry = server.registry.get(request.service, request.method)
        if entry is None:
            entry = self._entry_at_index(request) or self._generic_entry(request)
        admission = server.admission
        if not admission.admits(entry, request, received_at) or entry is None:
            blamed = admission.blamed(entry)
            self._reject(request, admission.rejection(entry, request), blamed)
            return
        call = new_server_call(self, request, entry, received_at)
        if self.replies is not None:
            call.position = self.replies.next_position()
        calls.append(call)
        self.calls.add(call)
        self.unanswered.try_add(call.size_bytes, True)
        admission.enter(call)

    def _entry_at_index(self, request: RpcRequest) -> MethodEntry | None:
        """The entry of a method that the request names by its index alone. It gets its name."""
        index = request.method_index
        if index is None or request.method:
            return None
        registry = self.server.registry
        request.method = registry.name_at(request.service, index)
        return registry.get(request.service, request.method)

    def _generic_entry(self, request: RpcRequest) -> MethodEntry | None:
        """The entry of the generic service, if there is one and it serves `request`."""
        return self.server.registry.generic_for(request.service, request.method)

    def _answers(self, message: Message) -> bool:
        """Answer a message that is not a complete request. False if later messages can't be
        parsed."""
        if isinstance(message, BadMessage | OversizedMessage) and message.is_request:
            self.server.requests += 1
            error = RpcError(message.reason, code=ErrorCode.EREQUEST)
            self._reject(message, error)
            return isinstance(message, BadMessage)
        self.discard_input("the client sent a response, not a request")
        return False

    def _reject(
        self,
        message: RpcRequest | BadMessage | OversizedMessage,
        error: RpcError,
        blamed: MethodEntry | None = None,
    ) -> None:
        """Answer with `error`, which counts as one of `blamed`, or as one of no service."""
        controller = Controller()
        controller._server_identity = self.identity
        controller.set_failed(error.code, error.text)
        packer = message.packer or self.protocol
        response = packer.pack_response(failure_of(message.correlation_id, controller))
        if isinstance(message, RpcRequest) and message.stream_settings is not None:
            response = pack_data(data_meta(message.stream_settings.stream_id, NO_STREAM), response)
        self.note_refused(message, error.code, len(response), blamed)
        replies = self.replies
        if replies is None:
            write_answer(self.socket, response)
        else:
            replies.put(replies.next_position(), response)
            replies.write()

    def note_refused(
        self,
        message: RpcRequest | BadMessage | OversizedMessage,
        error_code: int,
        sent_bytes: int,
        blamed: MethodEntry | None = None,
        http: HttpSummary | None = None,
    ) -> None:
        """Count a request that is answered with an error without being admitted, as one of
        `blamed`, or as one of no service. `http` says more of a request of HTTP. In a turn."""
        self.server.errors.increment_and_get(1)
        if type(message) is RpcRequest and wants_server_span(
            self.active_at, message.trace_id is not None
        ):
            trace_rejected(self, message, error_code, self.active_at)
        if blamed is not None and blamed.times is not None:
            blamed.times.note(self.protocol, error_code, 0.0)
        else:
            self.server.non_service_errors.add()
        self.report_refused(message, error_code, sent_bytes, http)

    def report_refused(
        self, message: Message, error_code: int, sent_bytes: int, http: HttpSummary | None = None
    ) -> None:
        """Tell the access log of a request that was counted. In a turn."""
        call_end = self.server.call_end
        if call_end.refusal_listeners:
            latency_s = monotonic() - self.active_at
            call_end.note_refused(
                RefusedRequest(self, message, error_code, sent_bytes, latency_s, http)
            )

    def __repr__(self) -> str:
        return f"<ServerConnection {self.state} of {self.socket!r}>"


def unanswered_backlog(of_all: ProcessBacklog) -> Backlog:
    """A counter for the requests of one connection, which counts them for all connections too."""
    limit_bytes = of_all.limit_bytes
    if limit_bytes is None:
        return Backlog(NO_LIMIT_BYTES)
    return Backlog(limit_bytes // SHARES, process=of_all)
