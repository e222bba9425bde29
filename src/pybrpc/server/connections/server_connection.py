"""ServerConnection: one accepted connection; turns its messages into calls."""

from __future__ import annotations

import contextlib
import socket as _socket
import time

from pybrpc.errors import ErrorCode, RpcError
from pybrpc.protocols.detect import BAIDU_STD
from pybrpc.protocols.message import BadMessage, Message, OversizedMessage, RpcRequest
from pybrpc.rpc.controller import Controller
from pybrpc.server.calls.interfaces import AdmittedCall
from pybrpc.server.calls.response_batch import write_answer
from pybrpc.server.calls.server_call import ServerCall, failure_of, new_server_call
from pybrpc.server.connections.closing import LONG_LINGER_S, ClosableConnection
from pybrpc.server.connections.credentials import authentication_failure, verify_credential
from pybrpc.server.connections.server_core import ServerCore
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.process_backlog import ProcessBacklog

NO_LIMIT_BYTES = 1 << 39

SHARES = 4
"""A connection may hold 1/SHARES of the bytes that all connections together may hold."""


class ServerConnection(ClosableConnection):
    """The SocketUser of one accepted connection."""

    __slots__ = ("_is_verified", "active_at")

    def __init__(self, server: ServerCore, sock: _socket.socket) -> None:
        """Take over an accepted socket. If the peer has gone already, raise OSError or close the
        connection."""
        ClosableConnection.__init__(self, server)
        settings = server.settings
        self.active_at = time.monotonic()
        """Time of the last message that was completed, or answered."""
        self._is_verified = settings.auth is None
        self.auth_context = None
        self.tls = None
        self.protocol = BAIDU_STD
        self.max_body_size = settings.limits.max_body_size
        self.unanswered = unanswered_backlog(server.unanswered)
        self.socket = Socket.of(
            sock,
            server.dispatcher,
            user=self,
            options=settings.options,
            cutter=self._cutter,
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
        """Received bytes of an incomplete message."""
        return len(self._cutter.buffer)

    @property
    def unfinished_memory_bytes(self) -> int:
        """Memory of an incomplete message, with the room allocated for the rest, in bytes."""
        return self._cutter.buffer.held_bytes

    @property
    def messages_read(self) -> int:
        return self.socket.messages_read

    def on_connected(self, socket: Socket) -> None:
        """The handshake is over; the peer sends first."""
        self.tls = socket.tls

    def on_messages(self, socket: Socket, messages: list[Message]) -> None:
        received_at = self.active_at = time.monotonic()
        self.protocol = self._cutter.protocol or BAIDU_STD
        if not self._is_verified and not self._verify(messages[0]):
            return
        calls: list[ServerCall] = []
        for message in messages:
            if type(message) is RpcRequest:
                call = self._admit(message, received_at)
                if call is not None:
                    calls.append(call)
            elif not self._answers(message):
                break
        if calls:
            self.server.start_calls(calls)
        if self.is_retired:
            self.retire()

    def count_error(self) -> None:
        self.server.errors.increment_and_get(1)

    def release_limits(self, calls: list[AdmittedCall]) -> None:
        self.server.release_limits(calls)

    def end(self, calls: list[AdmittedCall]) -> None:
        self.calls.difference_update(calls)
        size_bytes = 0
        for call in calls:
            size_bytes += call.size_bytes
        self.unanswered.remove(size_bytes, len(calls))
        server = self.server
        if server.has_idle_timeout:
            self.active_at = time.monotonic()
        if server.is_stopping:
            server.review_stop()
        elif self.is_retired and not self.calls:
            with contextlib.suppress(DispatcherClosedError):
                server.dispatcher.post(self.retire)

    def _verify(self, message: Message) -> bool:
        """Verify the credential of the first message. False if it is bad: then the message is
        rejected."""
        server, client = self.server, self.socket.remote_side
        auth = server.settings.auth
        assert auth is not None
        assert client is not None
        try:
            self.auth_context = verify_credential(auth, message, client)
        except Exception as reason:
            what = self.socket.description
            server.auth_log.warn("Fail to authenticate %s", what, reason=reason)
            server.requests += 1
            self.count_error()
            response = authentication_failure(message.correlation_id, reason)
            self.close_gracefully(LONG_LINGER_S, self.protocol.pack_response(response))
            return False
        self._is_verified = True
        return True

    def _admit(self, request: RpcRequest, received_at: float) -> ServerCall | None:
        """The call of `request`. `None` if it was rejected: unknown method, or limit reached."""
        server = self.server
        server.requests += 1
        entry = server.registry.get(request.service, request.method)
        if entry is None or server.is_stopping or server.is_full() or entry.is_full():
            self._reject(request.correlation_id, server.rejection(request))
            return None
        call = new_server_call(self, request, entry, received_at)
        self.calls.add(call)
        self.unanswered.try_add(call.size_bytes, True)
        server.admit(call)
        return call

    def _answers(self, message: Message) -> bool:
        """Answer a message that is not a complete request. False if later messages can't be
        parsed."""
        if isinstance(message, BadMessage | OversizedMessage) and message.is_request:
            self.server.requests += 1
            error = RpcError(message.reason, code=ErrorCode.EREQUEST)
            self._reject(message.correlation_id, error)
            return isinstance(message, BadMessage)
        self.discard_input("the client sent a response, not a request")
        return False

    def _reject(self, correlation_id: int, error: RpcError) -> None:
        self.count_error()
        controller = Controller()
        controller._server_identity = self.identity
        controller.set_failed(error.code, error.text)
        response = self.protocol.pack_response(failure_of(correlation_id, controller))
        write_answer(self.socket, response)

    def __repr__(self) -> str:
        return f"<ServerConnection {self.state} of {self.socket!r}>"


def unanswered_backlog(of_all: ProcessBacklog) -> Backlog:
    """A counter for the requests of one connection, which counts them for all connections too."""
    limit_bytes = of_all.limit_bytes
    if limit_bytes is None:
        return Backlog(NO_LIMIT_BYTES)
    return Backlog(limit_bytes // SHARES, process=of_all)
