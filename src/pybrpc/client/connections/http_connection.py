"""HttpConnection: a connection of HTTP/1.1, which one call at a time uses.

Responses come in the order of requests, and have no id. A request has its place in that order if
and only if its bytes are on the wire, or will be, because one step does both: `append_to`, which
the holder of the write right runs. A request whose attempt was taken before that step leaves no
bytes. It also has the session expect the response, and makes the credential.

A request is repeated only while no byte of its response has come: a connection that breaks inside
a response ends the call with ERESPONSE. The connection is used again only if the whole response
came, and neither side said that it closes. A request that was cancelled leaves a connection whose
next response belongs to nobody: the pool closes it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from pybrpc.client.calls.retry import RETRYABLE_CODES
from pybrpc.client.connections.authentication import Authentication
from pybrpc.client.connections.connection import (
    ClientConnection,
    ConnectionOwner,
    ConnectionStatistics,
    raise_in_turn,
)
from pybrpc.client.connections.http_body import BegunResponse, IncomingBody
from pybrpc.client.connections.http_method import HttpMethod
from pybrpc.client.connections.http_request import HttpRequest
from pybrpc.client.connections.http_status import error_text_of, is_fault, is_success, status_error
from pybrpc.client.connections.traced_request import note_http_request
from pybrpc.errors import (
    BadRequestError,
    BadResponseError,
    ErrorCode,
    Phase,
    RpcError,
    make_rpc_error,
)
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.http1.client_session import (
    BodyEnd,
    BodyPart,
    HttpClientSession,
    HttpMessage,
    OversizedResponse,
    ResponseBegin,
    WholeResponse,
)
from pybrpc.rpc.http_bodies import HttpContentType
from pybrpc.rpc.method import Method
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.outcomes import InternalOutcome
from pybrpc.transport.writing.write_request import SET_UP, WriteRequest

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt import Attempt
    from pybrpc.protocols.http1.head import ResponseHead
    from pybrpc.rpc.timeout_queue import TimeoutQueues

_UNAUTHORIZED = frozenset((401, 403))


class EndedError(Exception):
    """The attempt was taken before its request was turned into bytes."""


class OutgoingRequest:
    """A SocketMessage: the request of one attempt, which takes its place in the order."""

    __slots__ = ("_connection", "_is_placed", "_packed", "_span", "attempt", "keeps", "request")

    def __init__(self, attempt: Attempt, packed: IOBuf, connection: HttpConnection) -> None:
        self.attempt: Attempt | None = attempt
        """`None` once its call has the head of the response."""
        self.request: HttpRequest = attempt.call.body
        self._span = attempt.call.span
        self._packed = packed
        self._connection = connection
        self._is_placed = False
        self.keeps = False
        """Whether the connection is kept after its response, whose body comes now."""

    def append_to(self, buffer: IOBuf) -> None:
        """With the write right, before a byte of the request can leave."""
        self._is_placed = True
        self._connection.take_place(self)
        buffer.swap(self._packed)
        if self.request.upload is not None:
            self.request.upload.attach(self._connection.socket)

    def use_credential(self, credential: bytes) -> None:
        """Pack again, with a credential."""
        self._packed = self.request.pack(self._connection.host, credential, self._span)

    def on_outcome(self, error: RpcError | None) -> None:
        """The request was not written, because of `error`."""
        connection, attempt = self._connection, self.attempt
        if error is None or attempt is None or connection.socket.is_failed:
            return
        cause = error.__cause__
        if isinstance(cause, RpcError):  # no credential
            connection.socket.fail(cause)
            return
        if connection.take(attempt):
            attempt.call.on_attempt_failed(attempt, error)
        if self._is_placed and not isinstance(cause, EndedError):
            # Its bytes may be missing on the wire, and its place would get another response.
            connection.socket.fail(error)


class HttpWrite(WriteRequest):
    """The WriteRequest of an OutgoingRequest: sent as soon as it is turned into bytes.

    The peer may act on it, and close, before the system call that sends it returns here.
    """

    __slots__ = ()

    def __init__(self, message: OutgoingRequest, size_bytes: int) -> None:
        self._set_fields(IOBuf(), message, InternalOutcome(message.on_outcome), False, False)
        self.size_bytes = size_bytes


class HttpConnection(ClientConnection):
    """A connection of HTTP/1.1. The session of `socket` is an HttpClientSession, and `unread` the
    backlog above which the socket reads nothing."""

    __slots__ = (
        "_authentication",
        "_body",
        "_late_answers",
        "_pending",
        "_session",
        "_unread",
        "_waiting",
        "host",
    )

    def __init__(
        self,
        socket: Socket,
        timeouts: TimeoutQueues,
        host: str,
        unread: Backlog,
        owner: ConnectionOwner | None = None,
        authentication: Authentication | None = None,
    ) -> None:
        """`host`: for the header Host of requests without one."""
        super().__init__(socket, timeouts, owner)
        self.host = host
        session = socket.session
        assert isinstance(session, HttpClientSession)
        self._session = session
        self._unread = unread
        self._authentication = authentication
        self._pending: dict[Attempt, OutgoingRequest] = {}
        self._waiting: deque[OutgoingRequest] = deque()
        """Requests whose responses have not come to their ends, in the order of the wire."""
        self._body: IncomingBody | None = None
        """The body that comes now, if somebody takes its parts."""
        self._late_answers = 0

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    def send(self, attempt: Attempt) -> None:
        body = attempt.call.body
        if type(body) is not HttpRequest:
            raise BadRequestError("http has no place for streams")
        request = body
        try:
            packed = request.pack(self.host, None, attempt.call.span)
        except ValueError as error:
            raise BadRequestError(f"Fail to pack the request: {error}") from None
        if attempt.call.span is not None:
            note_http_request(attempt.call.span, len(packed))
        message = OutgoingRequest(attempt, packed, self)
        write_request = HttpWrite(message, len(packed))
        attempt.write_request = write_request
        if self.attempt_listeners is not None:
            attempt.begin(self.attempt_listeners)
        self._pending[attempt] = message
        try:
            self.socket.write_request(write_request)
        except RpcError as error:
            if self._take(attempt):
                attempt.report_failure(error)
                raise

    def take_place(self, message: OutgoingRequest) -> None:
        """Called with the write right, before a byte of the request can leave."""
        attempt = message.attempt
        assert attempt is not None
        assert attempt.write_request is not None
        attempt.write_request.progress = SET_UP
        if attempt not in self._pending:
            raise EndedError(f"{attempt!r} has ended")
        request, authentication = message.request, self._authentication
        if authentication is not None and request.needs_credential:
            message.use_credential(authentication.credential())
        self._session.expect(request.method, request.is_progressive)
        self._waiting.append(message)

    def as_sent(self, method: Method) -> Method:
        return HttpMethod.of(method, HttpContentType.JSON)

    def statistics(self) -> ConnectionStatistics:
        return ConnectionStatistics(
            in_flight=len(self._pending),
            late_answers=self._late_answers,
            unknown_answers=0,
            socket=self.socket.statistics(),
        )

    # --- what has come ---

    def _take(self, attempt: Attempt) -> bool:
        return self._pending.pop(attempt, None) is not None

    def _attempts(self) -> list[Attempt]:
        return list(self._pending)

    def _on_messages(self, messages: list[Any]) -> None:
        raised: BaseException | None = None
        for message in messages:
            attempt: Attempt | None = None
            if self._waiting:
                outgoing = self._waiting[0]
                attempt = outgoing.attempt
            try:
                self._on_message(message)
            except BaseException as error:
                raised = raised or error
                if attempt is not None:
                    attempt.call.on_raised(attempt, error)
        if raised is not None:
            raise_in_turn(self.socket.dispatcher, raised)
            # The order of responses may be lost.
            text = f"{self.socket.description} was closed: a response could not be handled"
            self.socket.fail(make_rpc_error(ErrorCode.EINTERNAL, text, phase=Phase.WAITING))

    def _on_message(self, message: HttpMessage) -> None:
        if isinstance(message, BodyPart):
            if self._body is not None:
                self._body.add(message.data)
            return
        outgoing = self._waiting[0]
        attempt = outgoing.attempt
        if isinstance(message, BodyEnd):
            self._waiting.popleft()
            self._end_body(outgoing, message)
        elif attempt is None:
            raise AssertionError("a response within a response")
        elif isinstance(message, WholeResponse):
            self._waiting.popleft()
            self._on_whole(outgoing, attempt, message)
        elif isinstance(message, ResponseBegin):
            outgoing.attempt = None
            self._begin_body(outgoing, attempt, message)
        else:
            self._refuse_oversized(attempt, message)

    def _on_whole(
        self, outgoing: OutgoingRequest, attempt: Attempt, response: WholeResponse
    ) -> None:
        is_taken = self._take(attempt)
        error = None
        if outgoing.request.fails_by_status and not is_success(response.head):
            peer = str(self.socket.remote_side)
            error = status_error(response.head, error_text_of(response), peer)
        # A connection that will be closed must not become idle first: another call would get it.
        keeps = outgoing.request.keeps_connection(response.head)
        if not self._is_reusable(outgoing, keeps) or self._is_refused(response.head.status, error):
            self.retire()
        elif is_taken and self._reports_idle and (error is None or error.code != ErrorCode.ELOGOFF):
            self._note_end(is_clean=True)
        if is_taken:
            _note_fault(attempt, response.head)
        if not is_taken:
            self._late_answers += 1
        elif error is None:
            attempt.call.on_response(attempt, response)
        else:
            attempt.call.on_error_response(attempt, error, response)

    def _begin_body(
        self, outgoing: OutgoingRequest, attempt: Attempt, message: ResponseBegin
    ) -> None:
        outgoing.keeps = outgoing.request.keeps_connection(message.head)
        if not self._take(attempt):
            self._late_answers += 1
            self.retire()
            return
        _note_fault(attempt, message.head)
        body = IncomingBody(self, self._unread)
        try:
            self.hold(body)
        except RpcError as error:
            attempt.call.on_attempt_failed(attempt, error)
            return
        self._body = body
        self._note_answer()
        begun = BegunResponse(message.head, body)
        call: Any = attempt.call
        call.on_response(attempt, begun)
        if call.response is not begun:
            body.abandon()  # the call has ended otherwise
        outgoing.request.note_incoming(body)

    def _end_body(self, outgoing: OutgoingRequest, message: BodyEnd) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.end(message.trailers, self._is_reusable(outgoing, outgoing.keeps))

    def _refuse_oversized(self, attempt: Attempt, message: OversizedResponse) -> None:
        """The session is broken: nothing after it can be parsed."""
        socket = self.socket
        is_taken = self._take(attempt)
        text = f"{socket.description} was closed by this side: {message.reason}"
        peer = str(socket.remote_side)
        socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, text, phase=Phase.WAITING, peer=peer))
        if is_taken:
            attempt.call.on_bad_response(attempt, message.reason)

    def _is_reusable(self, outgoing: OutgoingRequest, keeps: bool) -> bool:
        """Whether the next request may follow: both messages have come to their ends."""
        upload = outgoing.request.upload
        return keeps and (upload is None or upload.is_finished)

    def _is_refused(self, status: int, error: RpcError | None) -> bool:
        """Whether the server has refused the credential: the next connection makes a new one."""
        if self._authentication is None:
            return False
        is_code = error is not None and error.code == ErrorCode.ERPCAUTH
        return is_code or status in _UNAUTHORIZED

    # --- its end ---

    def _end_users(self, error: RpcError) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.on_connection_failed(self, error)
        if self._session.has_begun and error.code in RETRYABLE_CODES:
            text = f"The connection has failed inside a response: {error.text}"
            error = BadResponseError(text, phase=Phase.WAITING, peer=str(self.socket.remote_side))
        super()._end_users(error)


def _note_fault(attempt: Attempt, head: ResponseHead) -> None:
    """Have the breaker of a cluster hear that the server has failed, though it has answered."""
    if attempt.pick is not None and is_fault(head):
        attempt.pick.end(int(ErrorCode.EINTERNAL), None)
