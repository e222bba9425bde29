"""ServerConnection: one accepted connection; turns its messages into calls.

Its end comes in steps. Input ends first: the peer shuts its writing side, sends what makes no sense
or is refused. What was let in before is still run, answered and written; then the connection is
closed gently. A peer that shuts its writing side is most likely gone, so its calls are told that
they are canceled, but it may as well have sent its last request and wait for the answer.
"""

from __future__ import annotations

import socket as _socket
import time
from typing import TYPE_CHECKING

from pybrpc.errors import AuthenticationError, ErrorCode, HandshakeError, RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.detect import BAIDU_STD
from pybrpc.protocols.message import (
    BadMessage,
    Message,
    OversizedMessage,
    RpcRequest,
    RpcResponse,
)
from pybrpc.protocols.protocol import RpcProtocol
from pybrpc.rpc.authenticator import AuthContext, verified
from pybrpc.rpc.controller import Controller
from pybrpc.server.calls.response_batch import write_answer
from pybrpc.server.calls.server_call import ServerCall, failure_of
from pybrpc.server.values import UnfinishedConnection
from pybrpc.transport.interfaces import TlsInfo
from pybrpc.transport.socket.message_cutter import MessageCutter
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.process_backlog import ProcessBacklog

if TYPE_CHECKING:
    from pybrpc.server.lifecycle.running_server import RunningServer

LINGER_S = 1.0
"""How long a peer gets to close a connection on which this side has said all."""

NO_LIMIT_BYTES = 1 << 39

SHARES = 4
"""A connection may have one in so many of the bytes that all together may have."""

LONG_LINGER_S = 10.0
"""The same, for a peer that may still be sending."""


class ServerConnection:
    """The SocketUser of one accepted connection."""

    __slots__ = (
        "_cutter",
        "_has_peer_ended",
        "_is_verified",
        "active_at",
        "auth_context",
        "calls",
        "identity",
        "is_closing",
        "is_ended",
        "max_body_size",
        "protocol",
        "run",
        "socket",
        "tls",
        "unanswered",
    )

    def __init__(self, run: RunningServer, sock: _socket.socket) -> None:
        """Take over an accepted socket. If its peer has gone already, OSError, or it is closed."""
        self.run = run
        self.calls: set[ServerCall] = set()
        """Let in, and the answer is not queued yet."""
        self.active_at = time.monotonic()
        """When the last message was completed, or answered."""
        self.auth_context: AuthContext | None = None
        self.is_ended = False
        """Whether no more messages are taken."""
        self.is_closing = False
        self._has_peer_ended = False
        self._is_verified = run.settings.auth is None
        self.unanswered = new_inbox(run.unanswered)
        """Bytes of the requests in `calls`; while it is crowded nothing is read."""
        self._cutter = MessageCutter(run.settings.limits, run.settings.protocols)
        self.max_body_size = run.settings.limits.max_body_size
        self.protocol: RpcProtocol = BAIDU_STD
        """What the peer speaks, once it has said something."""
        self.tls: TlsInfo | None = None
        """What was agreed on with the peer."""
        tls = run.settings.tls
        self.socket = Socket.of(
            sock,
            run.dispatcher,
            user=self,
            options=run.settings.options,
            cutter=self._cutter,
            handshake_timeout_s=run.settings.handshake_timeout_s,
            layer=None if tls is None else tls.new_layer(),
            pauses_reads_when_overcrowded=True,
            unanswered=self.unanswered,
            process_backlog=run.process_backlog,
        )
        if self.socket.remote_side is None:
            # Reset before it was accepted. What was sent before could still be read, but nobody
            # could say of whom it is, nor answer it.
            self.socket.close()
        self.identity = f"[{self.socket.local_side}]"
        """What leads the texts of errors that this side sends, as in bRPC."""

    @property
    def is_busy(self) -> bool:
        """Whether a request runs on it, or an answer is not written yet."""
        return bool(self.calls) or self.socket.backlog.requests > 0

    @property
    def unfinished_bytes(self) -> int:
        """What has come of a message that is not whole."""
        return len(self._cutter.buffer)

    @property
    def unfinished_memory_bytes(self) -> int:
        """The same, with the room that is made for the rest."""
        return self._cutter.buffer.held_bytes

    @property
    def messages_read(self) -> int:
        return self.socket.messages_read

    def is_gone(self) -> bool:
        """Nothing can be written to the peer any more."""
        return self.socket.error is not None

    def is_canceled(self) -> bool:
        """The peer is gone, or says that it will send nothing more."""
        return self._has_peer_ended or self.socket.error is not None

    def on_connected(self, socket: Socket) -> None:
        """The peer speaks first."""
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
            self.run.start_calls(calls)
        self.close_if_answered()

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        if error.code == ErrorCode.EEOF:
            self._has_peer_ended = True
            if not self.is_busy:
                return False
        else:
            self.run.bad_input_log.warn("%s", error.text)
        self.is_ended = True
        self.close_if_answered()
        return True

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        if isinstance(error, HandshakeError):
            self.run.bad_input_log.warn("%s", error.text)
        self.run.forget(self)

    def leave(self, calls: list[ServerCall]) -> None:
        """Their answers stand: who gets one may send the next request under the same limit."""
        self.run.leave(calls)

    def end(self, calls: list[ServerCall]) -> None:
        """Their answers are queued, or nobody will read them."""
        self.calls.difference_update(calls)
        size_bytes = 0
        for call in calls:
            size_bytes += call.size_bytes
        self.unanswered.remove(size_bytes, len(calls))
        self.run.end_calls(self)

    def give_up_reading(self, why: str) -> None:
        """Take nothing more, throw away what has come of a message, answer what runs. In a turn."""
        self.run.bad_input_log.warn("%s", f"Close {self.socket.description}: {why}")
        self.is_ended = True
        self._cutter.buffer.clear()
        self.socket.discard_reads()
        self.close_if_answered()

    def close_if_answered(self) -> None:
        """Close it if no more messages are taken and nothing runs on it. Inside a turn."""
        if self.is_ended and not self.calls and not self.is_closing:
            self.close_gently(IOBuf(), LONG_LINGER_S)

    def close_gently(self, final_data: IOBuf, linger_s: float) -> None:
        """Let what is queued be written, then `final_data`, and that nothing follows.

        Then wait for the peer to close, at most `linger_s` seconds: closing at once could reset
        the connection before the peer has read its last answers. Again, to wait no longer than
        that. Inside a turn.
        """
        self.is_ended = self.is_closing = True
        if self.socket.is_connected:
            self.socket.close_gracefully(final_data, linger_s)
        else:
            # In the midst of a handshake there is nothing to lose.
            self.socket.close()

    def unfinished(self) -> UnfinishedConnection:
        """What is still to be done on it."""
        socket = self.socket
        unwritten_bytes = socket.backlog.size_bytes
        return UnfinishedConnection(self.peer, self.state, len(self.calls), unwritten_bytes)

    @property
    def peer(self) -> str:
        return str(self.socket.remote_side or "a peer without address")

    @property
    def state(self) -> str:
        """In a word, for people."""
        if self.is_gone():
            return "gone"
        if self.is_closing:
            return "closing"
        return "half-closed" if self.is_ended else "open"

    def _verify(self, message: Message) -> bool:
        """Judge the credential of the first message; False, and refused, if it is not good."""
        auth, client = self.run.settings.auth, self.socket.remote_side
        credential = message.credential if isinstance(message, RpcRequest) else None
        assert auth is not None
        assert client is not None
        try:
            self.auth_context = verified(auth, credential or b"", client)
        except Exception as reason:
            log = self.run.auth_log
            log.warn("Fail to authenticate %s", self.socket.description, reason=reason)
            self._refuse_to_authenticate(message.correlation_id, reason)
            return False
        self._is_verified = True
        return True

    def _refuse_to_authenticate(self, correlation_id: int, reason: Exception) -> None:
        """As bRPC's VerifyRpcRequest: a bare text, without this side's address."""
        told = reason.text if isinstance(reason, AuthenticationError) else ""
        self.run.requests += 1
        self.run.errors.increment_and_get(1)
        answer = RpcResponse(
            correlation_id,
            int(AuthenticationError.default_code),
            f"Fail to authenticate: {told}" if told else "Fail to authenticate",
            compress_type=None,
            content_type=None,
            checksum_type=None,
            checksum_value=None,
        )
        self.close_gently(self.protocol.pack_response(answer), LONG_LINGER_S)

    def _admit(self, request: RpcRequest, received_at: float) -> ServerCall | None:
        run = self.run
        run.requests += 1
        entry = run.registry.get(request.service, request.method)
        if entry is None or run.is_stopping or run.is_full() or entry.is_full():
            self._refuse(request.correlation_id, run.rejection(request))
            return None
        call = ServerCall(self, request, entry, received_at)
        self.calls.add(call)
        self.unanswered.try_add(call.size_bytes, True)
        run.admit(call)
        return call

    def _answers(self, message: Message) -> bool:
        """Answer what is no whole request; False if nothing behind it can be taken."""
        if isinstance(message, BadMessage | OversizedMessage) and message.is_request:
            self.run.requests += 1
            error = RpcError(message.reason, code=ErrorCode.EREQUEST)
            self._refuse(message.correlation_id, error)
            return isinstance(message, BadMessage)
        self.give_up_reading("a server got a response")
        return False

    def _refuse(self, correlation_id: int, error: RpcError) -> None:
        self.run.errors.increment_and_get(1)
        controller = Controller()
        controller._server_identity = self.identity
        controller.set_failed(error.code, error.text)
        answer = self.protocol.pack_response(failure_of(correlation_id, controller))
        write_answer(self.socket, answer)

    def __repr__(self) -> str:
        return f"<ServerConnection {self.state} of {self.socket!r}>"


def new_inbox(of_all: ProcessBacklog) -> Backlog:
    """What counts the requests of one connection, and with them those of all."""
    limit_bytes = of_all.limit_bytes
    if limit_bytes is None:
        return Backlog(NO_LIMIT_BYTES)
    return Backlog(limit_bytes // SHARES, process=of_all)
