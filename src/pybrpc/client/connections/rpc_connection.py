"""RpcConnection: matches responses to calls by their correlation id."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from pybrpc.client.connections.authentication import Authentication, UnauthenticatedRequest
from pybrpc.client.connections.connection import (
    ClientConnection,
    ConnectionOwner,
    ConnectionStatistics,
    protocol_error,
)
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import Message, OversizedMessage, RpcRequest, RpcResponse
from pybrpc.protocols.protocol import RpcProtocol
from pybrpc.rpc.body_encoding import EncodedBody
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.outcomes import run_outcomes
from pybrpc.transport.writing.write_request import WriteRequest, new_write_request

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt import Attempt, AttemptedCall
    from pybrpc.rpc.timeout_queue import TimeoutQueues

_correlation_ids = itertools.count(1)


class RpcConnection(ClientConnection):
    """A connection of an RpcProtocol, such as baidu_std."""

    __slots__ = (
        "_authentication",
        "_late_answers",
        "_pending",
        "_protocol",
        "_unknown_answers",
        "last_id",
    )

    def __init__(
        self,
        socket: Socket,
        timeouts: TimeoutQueues,
        protocol: RpcProtocol,
        owner: ConnectionOwner | None = None,
        authentication: Authentication | None = None,
    ) -> None:
        super().__init__(socket, timeouts, owner)
        self.last_id = 0
        self._authentication = authentication
        """`None` if there is none, or once the server has accepted the credential."""
        self._protocol = protocol
        self._pending: dict[int, Attempt] = {}
        self._late_answers = 0
        self._unknown_answers = 0

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    def send(self, attempt: Attempt) -> None:
        correlation_id = next(_correlation_ids)
        authentication = self._authentication
        if authentication is None or authentication.is_sent:
            write_request = new_write_request(self._pack(attempt.call, correlation_id))
        else:
            write_request = self._unauthenticated(attempt, correlation_id, authentication)
        attempt.write_request = write_request
        attempt.correlation_id = correlation_id
        if correlation_id > self.last_id:
            self.last_id = correlation_id
        self._pending[correlation_id] = attempt
        try:
            self.socket.write_request(write_request)
        except RpcError:
            if self._take(attempt):
                raise

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        authentication = self._authentication
        refusal = None if authentication is None else authentication.refusal
        super().on_failed(socket, refusal or error)

    def statistics(self) -> ConnectionStatistics:
        return ConnectionStatistics(
            in_flight=len(self._pending),
            late_answers=self._late_answers,
            unknown_answers=self._unknown_answers,
            socket=self.socket.statistics(),
        )

    def _pack(self, call: AttemptedCall, correlation_id: int) -> IOBuf:
        body = call.body
        if call.controller is not None or type(body) is not bytes:
            return self._protocol.pack_request(_request_of(call, correlation_id))
        method: Any = call.method
        timeout_ms = call.wire_timeout_ms()
        return self._protocol.pack_fast_request(
            correlation_id, method.service_name, method.name, timeout_ms, body
        )

    def _unauthenticated(
        self, attempt: Attempt, correlation_id: int, authentication: Authentication
    ) -> WriteRequest:
        request = _request_of(attempt.call, correlation_id)
        packed = self._protocol.pack_request(request)
        # The caller may change these meanwhile.
        if request.attachment is not None:
            request.attachment = request.attachment.copy()
        if request.user_fields:
            request.user_fields = dict(request.user_fields)
        waiting = UnauthenticatedRequest(attempt, request, packed, self._protocol, authentication)
        return waiting.as_write_request()

    def _take(self, attempt: Attempt) -> bool:
        return self._pending.pop(attempt.correlation_id, None) is not None

    def _take_all(self) -> list[Attempt]:
        taken: list[Attempt] = []
        while self._pending:
            for correlation_id in list(self._pending):
                attempt = self._pending.pop(correlation_id, None)
                if attempt is not None:
                    taken.append(attempt)
        return taken

    def _on_messages(self, messages: list[Message]) -> None:
        for message in messages:
            attempt = self._pending.pop(message.correlation_id, None)
            if message.is_request:
                self._refuse_request(attempt)
            elif attempt is None:
                self._count_dropped(message.correlation_id)
            elif isinstance(message, RpcResponse):
                self._on_response(attempt, message)
            elif isinstance(message, OversizedMessage):
                self._refuse_oversized(attempt, message.reason)
            else:
                self._note_answer()
                attempt.call.on_bad_response(attempt, message.reason)

    def _on_response(self, attempt: Attempt, response: RpcResponse) -> None:
        authentication = self._authentication
        if not response.error_code:
            if authentication is not None:
                self._authentication = None
            if self._reports_idle:
                self._note_end(is_clean=True)
            attempt.call.on_response(attempt, response)
            return
        error = make_rpc_error(
            response.error_code,
            response.error_text,
            phase=Phase.SERVER,
            peer=str(self.socket.remote_side),
            is_remote=True,
        )
        # A connection that will be closed must not become idle first: another call would get it.
        if authentication is not None and authentication.is_refused(attempt, error):
            self.retire()
        elif response.error_code != ErrorCode.ELOGOFF:
            self._note_answer()
        attempt.call.on_error_response(attempt, error)

    def _refuse_request(self, attempt: Attempt | None) -> None:
        socket = self.socket
        error = protocol_error(socket, f"{socket.description} sent a request to a client")
        # Fail it first: a caller that is notified and calls again must not get this connection.
        outcomes = socket.begin_fail(error)
        if attempt is not None:
            attempt.call.on_attempt_failed(attempt, error)
        run_outcomes(outcomes)

    def _refuse_oversized(self, attempt: Attempt, reason: str) -> None:
        socket = self.socket
        outcomes = socket.begin_fail(
            protocol_error(socket, f"Close {socket.description}: {reason}")
        )
        attempt.call.on_bad_response(attempt, reason)
        run_outcomes(outcomes)

    def _count_dropped(self, correlation_id: int) -> None:
        if 0 < correlation_id <= self.last_id:
            self._late_answers += 1
        else:
            self._unknown_answers += 1


def _request_of(call: AttemptedCall, correlation_id: int) -> RpcRequest:
    method: Any = call.method
    body, controller = call.body, call.controller
    request = RpcRequest(correlation_id, method.service_name, method.name, body)
    request.timeout_ms = call.wire_timeout_ms()
    if controller is not None:
        request.attachment = controller._request_attachment
        request.log_id = controller.log_id
        request.request_id = controller.request_id
        request.user_fields = controller._request_user_fields
    if type(body) is EncodedBody:
        encoding = body.encoding
        request.body = body.data
        request.compress_type = encoding.compress_type
        request.checksum_type = encoding.checksum_type
        request.checksum_value = body.checksum_value
        request.checksum_with_attachment = encoding.checksum_with_attachment or None
    return request
