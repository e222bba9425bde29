"""RpcConnection: matches responses to calls by their correlation id."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from pybrpc.client.connections.authentication import (
    Authentication,
    NoCredential,
    UnauthenticatedRequest,
)
from pybrpc.client.connections.connection import (
    ClientConnection,
    ConnectionOwner,
    ConnectionStatistics,
    protocol_error,
    raise_in_turn,
)
from pybrpc.client.connections.traced_request import trace_request
from pybrpc.errors import BadRequestError, ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import (
    BadMessage,
    Message,
    OversizedMessage,
    RpcRequest,
    RpcResponse,
    StreamSettings,
)
from pybrpc.protocols.protocol import ParseLimits, RpcProtocol
from pybrpc.protocols.streaming.stream_frame import StreamFrame
from pybrpc.protocols.traits import carries_streams, takes_blocks
from pybrpc.rpc.body_encoding import EncodedBody
from pybrpc.rpc.remote_error import remote_error
from pybrpc.streams.opening import StreamBody, StreamOpening, ids_of_answer
from pybrpc.streams.table import StreamTable, making_lock
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.write_request import WriteRequest, new_write_request

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt import Attempt, AttemptedCall
    from pybrpc.rpc.timeout_queue import TimeoutQueues

_correlation_ids = itertools.count(1)
SIGN_64 = 0x8000000000000000
COUNT_64 = 0x10000000000000000
"""The number of log ids."""


class RpcConnection(ClientConnection):
    """A connection of an RpcProtocol, such as baidu_std."""

    __slots__ = (
        "_authentication",
        "_is_ordered",
        "_late_answers",
        "_max_unconsumed_bytes",
        "_pending",
        "_protocol",
        "_streams",
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
        max_unconsumed_bytes: int = 0,
    ) -> None:
        """`max_unconsumed_bytes`: see StreamTable."""
        super().__init__(socket, timeouts, owner)
        self.last_id = 0
        self._authentication: Authentication | NoCredential | None = (
            authentication or NoCredential()
        )
        """`None` once the server has accepted the credential, or a request without one."""
        self._protocol = protocol
        self._is_ordered = False
        """Whether responses have no id: see OrderedConnection."""
        self._pending: dict[int, Attempt] = {}
        self._streams: StreamTable | None = None
        self._max_unconsumed_bytes = max_unconsumed_bytes
        self._late_answers = 0
        self._unknown_answers = 0

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    def is_held(self) -> bool:
        return len(self._pending) > 0 or len(self._holds) > 0

    def send(self, attempt: Attempt) -> None:
        correlation_id = next(_correlation_ids)
        authentication = self._authentication
        if authentication is None or authentication.is_sent:
            write_request = new_write_request(self._pack(attempt.call, correlation_id))
        else:
            assert isinstance(authentication, Authentication)
            write_request = self._unauthenticated(attempt, correlation_id, authentication)
        if self._is_ordered:
            write_request = self._in_order(attempt, correlation_id, write_request)
        attempt.write_request = write_request
        attempt.correlation_id = correlation_id
        if correlation_id > self.last_id:
            self.last_id = correlation_id
        if self.attempt_listeners is not None:
            attempt.begin(self.attempt_listeners)
        self._pending[correlation_id] = attempt
        try:
            self.socket.write_request(write_request)
        except RpcError as error:
            if self._take(attempt):
                attempt.report_failure(error)
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
            streams=0 if self._streams is None else len(self._streams.streams),
        )

    def _pack(self, call: AttemptedCall, correlation_id: int) -> IOBuf:
        body = call.body
        if call.controller is not None or type(body) is not bytes or call.span is not None:
            return self._protocol.pack_request(self._request_of(call, correlation_id))
        method: Any = call.method
        timeout_ms = call.wire_timeout_ms()
        return self._protocol.pack_fast_request(
            correlation_id, method.service_name, method.name, timeout_ms, body
        )

    def _request_of(self, call: AttemptedCall, correlation_id: int) -> RpcRequest:
        method: Any = call.method
        body, controller = call.body, call.controller
        request = RpcRequest(correlation_id, method.service_name, method.name, body)
        request.timeout_ms = call.wire_timeout_ms()
        if controller is not None:
            request.attachment = controller._request_attachment
            request.log_id = _as_int64(controller._log_id)
            request.request_id = controller._request_id
            request.user_fields = controller._request_user_fields
        if type(body) is StreamBody:
            if not carries_streams(self._protocol):
                raise BadRequestError(f"{self._protocol.name} has no place for streams")
            request.stream_settings = self._open_streams(body.opening, correlation_id)
            request.body = body = body.body
        if type(body) is IOBuf:
            if not takes_blocks(self._protocol):
                request.body = bytes(body)
        elif type(body) is EncodedBody:
            encoding = body.encoding
            request.body = body.data
            request.compress_type = encoding.compress_type
            request.checksum_type = encoding.checksum_type
            request.checksum_value = body.checksum_value
            request.checksum_with_attachment = encoding.checksum_with_attachment or None
        if call.span is not None:
            trace_request(call.span, request, self._protocol)
        return request

    def _unauthenticated(
        self, attempt: Attempt, correlation_id: int, authentication: Authentication
    ) -> WriteRequest:
        request = self._request_of(attempt.call, correlation_id)
        packed = self._protocol.pack_request(request)
        # The caller may change these meanwhile.
        if request.attachment is not None:
            request.attachment = request.attachment.copy()
        if request.user_fields:
            request.user_fields = dict(request.user_fields)
        waiting = UnauthenticatedRequest(attempt, request, packed, self._protocol, authentication)
        return waiting.as_write_request()

    def _in_order(
        self, attempt: Attempt, correlation_id: int, request: WriteRequest
    ) -> WriteRequest:
        """A request in place of `request` that takes its place in the order of responses."""
        raise NotImplementedError

    def _take(self, attempt: Attempt) -> bool:
        return self._pending.pop(attempt.correlation_id, None) is not None

    def _attempts(self) -> list[Attempt]:
        return list(self._pending.values())

    def _on_messages(self, messages: list[Message]) -> None:
        raised: BaseException | None = None
        count = len(messages)
        done = 0
        while done < count:
            attempt: Attempt | None = None
            try:
                while done < count:
                    message = messages[done]
                    done += 1
                    attempt = None
                    attempt = self._pending.pop(message.correlation_id, None)
                    if type(message) is RpcResponse and attempt is not None:
                        self._on_response(attempt, message)
                    else:
                        self._on_odd_message(attempt, message)
            except BaseException as error:
                raised = raised or error
                if attempt is not None:
                    attempt.call.on_raised(attempt, error)
        if self._streams is not None:
            self._streams.end_batch()
        if raised is not None:
            raise_in_turn(self.socket.dispatcher, raised)

    def _open_streams(self, opening: StreamOpening, correlation_id: int) -> StreamSettings:
        """Make the streams of a call that is about to be sent."""
        table = self.stream_table()
        return opening.attach(table, correlation_id, ParseLimits(), self._on_wrapped_answer)

    def stream_table(self) -> StreamTable:
        """The streams of this connection. Any thread."""
        table = self._streams
        if table is None:
            budget = default_runtime().stream_budget
            made = StreamTable(self, self.socket, budget, self._max_unconsumed_bytes, ids_of_answer)
            with making_lock():
                table = self._streams
                if table is None:
                    table = self._streams = made
        return table

    def _on_wrapped_answer(self, response: RpcResponse) -> None:
        """A response that came in the first frame of a stream."""
        self._on_messages([response])

    def _on_odd_message(self, attempt: Attempt | None, message: Message) -> None:
        if type(message) is StreamFrame:
            if self._streams is not None:
                self._streams.on_frame(message)
        elif message.is_request:
            self._refuse_request(attempt)
        elif isinstance(message, OversizedMessage) and not message.is_skipped:
            self._refuse_oversized(attempt, message.reason)
        elif attempt is None:
            self._count_dropped(message.correlation_id)
        else:
            assert isinstance(message, OversizedMessage | BadMessage)
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
        peer = str(self.socket.remote_side)
        error = remote_error(response.error_code, response.error_text, peer)
        # A connection that will be closed must not become idle first: another call would get it.
        if authentication is not None and authentication.is_refused(attempt, error):
            self.retire()
        elif response.error_code != ErrorCode.ELOGOFF:
            self._note_answer()
        attempt.call.on_error_response(attempt, error, _fields_of_failure(response))

    def _refuse_request(self, attempt: Attempt | None) -> None:
        socket = self.socket
        error = protocol_error(socket, f"{socket.description} sent a request to a client")
        # Fail it first: a caller that is notified and calls again must not get this connection.
        socket.fail(error)
        if attempt is not None:
            attempt.call.on_attempt_failed(attempt, error)

    def _refuse_oversized(self, attempt: Attempt | None, reason: str) -> None:
        """The rest of a response is too long to be skipped, so the connection has to be closed. The
        other calls on it are sent again."""
        socket = self.socket
        text = f"{socket.description} was closed by this side: {reason}"
        peer = str(socket.remote_side)
        socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, text, phase=Phase.WAITING, peer=peer))
        if attempt is not None:
            attempt.call.on_bad_response(attempt, reason)

    def _count_dropped(self, correlation_id: int) -> None:
        if 0 < correlation_id <= self.last_id:
            self._late_answers += 1
        else:
            self._unknown_answers += 1


def _fields_of_failure(response: RpcResponse) -> RpcResponse | None:
    """The part of a failed response that the caller gets: as in C++ its user fields, not its
    attachment, compression or checksum. `None` if there are none."""
    fields = response.user_fields
    return RpcResponse(response.correlation_id, user_fields=fields) if fields else None


def _as_int64(log_id: Any) -> Any:
    """A log id as the field carries it, which is signed, while a log id is not. What is no such
    number is left to the protocol, which refuses it."""
    if type(log_id) is int and SIGN_64 <= log_id < COUNT_64:
        return log_id - COUNT_64
    return log_id
