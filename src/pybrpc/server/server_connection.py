"""ServerConnection: one accepted connection; turns its messages into calls."""

from __future__ import annotations

import socket as _socket
import time
from typing import TYPE_CHECKING

from pybrpc.errors import ErrorCode, ProtocolError, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.detect import BAIDU_STD
from pybrpc.protocols.message import BadMessage, Message, OversizedMessage, RpcRequest
from pybrpc.protocols.protocol import RpcProtocol
from pybrpc.rpc.controller import Controller
from pybrpc.server.outbox import write_answer
from pybrpc.server.server_call import ServerCall, failure_of
from pybrpc.transport.message_cutter import MessageCutter
from pybrpc.transport.socket import Socket

if TYPE_CHECKING:
    from pybrpc.server.server_run import ServerRun

LINGER_S = 1.0
"""How long a peer gets to close a connection on which this side has said all."""

LONG_LINGER_S = 10.0
"""The same, for a peer that is still sending a message that is too long."""


class ServerConnection:
    """The SocketUser of one accepted connection."""

    __slots__ = ("_cutter", "identity", "is_closing", "run", "socket")

    def __init__(self, run: ServerRun, sock: _socket.socket) -> None:
        """Take over an accepted socket. OSError if its peer has gone already."""
        self.run = run
        self.is_closing = False
        self._cutter = MessageCutter(run.settings.limits)
        self.socket = Socket.of(
            sock,
            run.dispatcher,
            user=self,
            options=run.settings.options,
            cutter=self._cutter,
            pauses_reads_when_crowded=True,
        )
        self.identity = f"[{self.socket.local_side}]"
        """What leads the texts of errors that this side sends, as in bRPC."""

    @property
    def protocol(self) -> RpcProtocol:
        """What the peer speaks."""
        return self._cutter.protocol or BAIDU_STD

    def is_gone(self) -> bool:
        return self.socket.error is not None

    def on_messages(self, socket: Socket, messages: list[Message]) -> None:
        received_at = time.monotonic()
        calls: list[ServerCall] = []
        for message in messages:
            if type(message) is RpcRequest:
                call = self._admit(message, received_at)
                if call is not None:
                    calls.append(call)
            else:
                self._on_other(message)
        if calls:
            self.run.start_calls(calls)

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        self.run.forget(self)

    def close_gently(self, last_words: IOBuf, linger_s: float) -> None:
        """Let what is queued be written, then `last_words`, and that nothing follows.

        Then wait for the peer to close, at most `linger_s` seconds: closing at once could reset
        the connection before the peer has read its last answers. Inside a turn.
        """
        self.is_closing = True
        self.socket.close_after_write(last_words)
        self.close_later(linger_s)

    def close_later(self, linger_s: float) -> None:
        """Close in `linger_s` seconds, or as much later as the peer needs to take what it gets."""
        self.run.dispatcher.call_at(time.monotonic() + linger_s, self._close_if_written)

    def _close_if_written(self) -> None:
        if not self.socket.backlog.size_bytes:
            self.socket.close()
        elif self.socket.error is None:
            self.close_later(LINGER_S)

    def _admit(self, request: RpcRequest, received_at: float) -> ServerCall | None:
        run = self.run
        run.requests += 1
        entry = run.registry.get(request.service, request.method)
        if entry is None or run.is_stopping or run.is_full:
            self._refuse(request.correlation_id, run.why_refused(request))
            return None
        call = ServerCall(self, request, entry, received_at)
        run.let_in(call)
        return call

    def _on_other(self, message: Message) -> None:
        if isinstance(message, BadMessage) and message.is_request:
            self.run.requests += 1
            self._refuse(message.correlation_id, _bad_request(message.reason))
        elif isinstance(message, OversizedMessage) and message.is_request:
            self.run.requests += 1
            error = _bad_request(message.reason)
            self.close_gently(self._refusal(message.correlation_id, error), LONG_LINGER_S)
        else:
            text = f"Close {self.socket.description}: a server got a response"
            self.socket.set_failed(ProtocolError(text, is_remote=True))

    def _refuse(self, correlation_id: int, error: RpcError) -> None:
        write_answer(self.socket, self._refusal(correlation_id, error))

    def _refusal(self, correlation_id: int, error: RpcError) -> IOBuf:
        self.run.errors.increment_and_get(1)
        controller = Controller()
        controller._server_identity = self.identity
        controller.set_failed(error.code, error.text)
        return self.protocol.pack_response(failure_of(correlation_id, controller))

    def __repr__(self) -> str:
        state = ", closing" if self.is_closing else ""
        return f"<ServerConnection {self.socket!r}{state}>"


def _bad_request(reason: str) -> RpcError:
    return RpcError(reason, code=ErrorCode.EREQUEST)
