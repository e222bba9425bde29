"""HttpExchange: the requests of one connection of HTTP, and their answers in the same order.

What answers a request is looked up when its head has come: so a body that is too long, or whose
sender may not send it, is refused before it is read. Everything here happens in turns.
"""

from __future__ import annotations

import contextlib
from typing import Any, Protocol

from pybrpc.base.guard import deliver_interrupt
from pybrpc.errors import AuthenticationError, ErrorCode, RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.http1 import (
    CONTINUE,
    HttpParseError,
    MessageEnd,
    RequestHead,
    UriError,
)
from pybrpc.protocols.http1.error_responses import parse_error_response
from pybrpc.protocols.http1.server_session import HEAD_BYTES, HttpServerSession
from pybrpc.protocols.http1.status import AUTHENTICATION_STATUS
from pybrpc.protocols.message import BadMessage, RpcRequest
from pybrpc.rpc.authenticator import verified
from pybrpc.server.access_log.access_line import HttpSummary
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.calls.raw_request import MAX_NAME, NO_SERVICE
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.connections.closing import LONG_LINGER_S
from pybrpc.server.connections.credentials import authentication_failure
from pybrpc.server.connections.server_connection import ServerConnection
from pybrpc.server.http.body_threads import BodyThreads
from pybrpc.server.http.replies import HttpReplies
from pybrpc.server.http.request import BodySink, HttpRequest, new_http_request
from pybrpc.server.http.resolved_head import ResolvedHead
from pybrpc.server.http.served import summary_of
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError

MAX_KEPT_BYTES = 16 * 1024
"""A head that takes more memory is not kept for the next request: its connection may stay idle."""

MAX_DISCARDED_BYTES = 64 * 1024
"""A body that nobody wants is read up to this length, to keep the connection for what follows."""


class Refusal(Exception):
    """A request that is answered with an error when its head has come."""

    def __init__(
        self,
        text: str,
        error_code: int = ErrorCode.EREQUEST,
        status: int | None = None,
        headers: dict[str, str] | None = None,
        blamed: MethodEntry | None = None,
        rpc: RpcRequest | None = None,
    ) -> None:
        """`blamed`: the method whose error it is; `None`: none's. `rpc`: the request of a method
        that it has become."""
        super().__init__(text)
        self.text = text
        self.error_code = int(error_code)
        self.status = status
        self.headers = headers
        self.blamed = blamed
        self.rpc = rpc


class TargetFinder(Protocol):
    """Finds what answers a request."""

    def resolve(self, exchange: HttpExchange, resolved: ResolvedHead) -> None:
        """Set all fields of `resolved`, `target` too. Raises Refusal; `needs_credentials` counts
        all the same."""


class ClientWatcher(Protocol):
    """Wants to know when the client goes away."""

    def on_client_gone(self, error: RpcError) -> None:
        """Nothing more comes from the client. May come twice. In a turn."""

    def on_server_stop(self) -> None:
        """The server stops. May come twice. In a turn."""


class UnreadBody(BodySink, Protocol):
    """A body whose parts wait to be read."""

    def drop(self) -> None:
        """Nobody reads any more."""


class HttpExchange:
    """An Exchange, the user of a ServerConnection that speaks HTTP."""

    __slots__ = (
        "_finder",
        "_has_auth",
        "_has_replies",
        "_is_over",
        "_raw_sink",
        "_request",
        "_resolved",
        "_session",
        "connection",
        "end_error",
        "queues",
        "replies",
        "streams",
        "threads",
    )

    def __init__(
        self, connection: ServerConnection, finder: TargetFinder, threads: BodyThreads
    ) -> None:
        self.connection = connection
        self.threads = threads
        """Those of plain generators."""
        self.replies = HttpReplies(connection.socket, connection.unanswered)
        self._finder = finder
        self._has_auth = connection.server.settings.auth is not None
        self._session: HttpServerSession = connection.socket.session  # type: ignore[assignment]
        self._request: HttpRequest | None = None
        """The request whose end has not come."""
        self._has_replies = False
        self._is_over = False
        self._resolved: ResolvedHead | None = None
        """The head of the last request: most are like the one before."""
        self._raw_sink: BodySink | None = None
        self.streams: dict[ClientWatcher, None] = {}
        """Responses that are being sent in parts. Any thread."""
        self.queues: dict[UnreadBody, None] = {}
        """Bodies that are read in parts. Any thread."""
        self.end_error: RpcError | None = None
        """Set when the client has ended its side: most likely it is gone."""

    @property
    def stream_count(self) -> int:
        return 0

    # --- what has come ---

    def on_messages(self, messages: list[Any]) -> None:
        calls: list[ServerCall] = []
        now = self.connection.active_at  # set just now: the messages have come in this turn
        try:
            for event in messages:
                if self._is_over:
                    break
                kind = type(event)
                if kind is RequestHead:
                    self._on_head(event, now)
                elif kind is MessageEnd:
                    self._on_message_end(event, calls)
                elif isinstance(event, HttpParseError):
                    self._on_broken(event)
                else:
                    self._on_part(event)
        except BaseException:
            # The socket fails, and nobody else knows these calls yet.
            self.connection.end(calls)
            raise
        if calls:
            self.connection.start_calls(calls)
        self._after_read()

    def _after_read(self) -> None:
        request = self._request
        is_collected = request is not None and request.sink is None and not request.is_discarded
        if request is not None and is_collected and request.head.expects_continue:
            self._ask_for_body(request)
        if self._has_replies:
            self._has_replies = False
            self.replies.write()
        if self._is_over or self.connection.is_retired:
            self.connection.retire()

    def _on_head(self, head: RequestHead, now: float) -> None:
        connection = self.connection
        position = self.replies.next_position()
        if self.replies.drops(position):
            self._stop_reading()
            return
        connection.server.requests += 1
        resolved = self._resolved
        if resolved is None or resolved.head is not head:
            resolved = self._resolve(head, position, now)
            if resolved is None:
                return
        request = new_http_request(resolved, position, now, connection.max_body_size)
        self._request = request
        try:
            if self._has_auth and resolved.needs_credentials:
                self.verify(request)
            request.sink = resolved.target.begin(self, request)
            if request.sink is None and head.content_length is not None:
                self._check_length(request)
        except Refusal as refusal:
            self._refuse(request, refusal)
            return
        self._session.collected_bytes = HEAD_BYTES + resolved.size_bytes

    def _resolve(self, head: RequestHead, position: int, now: float) -> ResolvedHead | None:
        """Look up what `head` means; `None` if its request was refused."""
        self._resolved = None
        try:
            resolved = ResolvedHead(head)
        except UriError as error:
            resolved = ResolvedHead(head, has_url=False)
            request = new_http_request(resolved, position, now, self.connection.max_body_size)
            self._request = request
            self._refuse(request, Refusal(str(error)))
            return None
        try:
            self._finder.resolve(self, resolved)
        except Refusal as refusal:
            request = new_http_request(resolved, position, now, self.connection.max_body_size)
            self._request = request
            self._refuse(request, self._refused_before(request) or refusal)
            return None
        if resolved.size_bytes <= MAX_KEPT_BYTES:
            self._resolved = resolved
        return resolved

    def _refused_before(self, request: HttpRequest) -> Refusal | None:
        """Clients without credentials learn nothing about what there is."""
        try:
            if request.resolved.needs_credentials:
                self.verify(request)
        except Refusal as refusal:
            return refusal
        return None

    def _on_part(self, data: IOBuf) -> None:
        request = self._request
        if self._raw_sink is not None:
            self._raw_sink.on_part(data)
            return
        if request is None or request.is_discarded:
            return
        if request.sink is not None:
            # So that a body may take its time, as long as something comes.
            self._session.unfinished_mark += 1
            request.sink.on_part(data)
            return
        if request.body:
            request.body.append(data)
        else:
            request.body = data
        self._session.collected_bytes += len(data)
        if len(request.body) > request.max_bytes:
            self._refuse_long(request)

    def _on_message_end(self, end: MessageEnd, calls: list[ServerCall]) -> None:
        request, self._request = self._request, None
        self._session.collected_bytes = 0
        if request is None:
            return
        if not request.is_discarded:
            request.trailers = end.trailers
            if request.sink is not None:
                request.sink.on_end(end.trailers)
            else:
                request.resolved.target.run(self, request, calls)
        if not request.keep_alive:
            self._is_over = True

    def _on_broken(self, error: HttpParseError) -> None:
        """Nothing that follows can be understood: this is the last answer."""
        request, self._request = self._request, None
        server = self.connection.server
        server.errors.increment_and_get(1)
        server.non_service_errors.add()
        if request is not None and request.sink is not None:
            request.sink.on_failed(error)
            return
        if request is None:
            server.requests += 1
            position = self.replies.next_position()
        elif request.is_discarded:
            return
        else:
            position = request.position
        data = parse_error_response(error, None if request is None else request.head)
        summary = HttpSummary("", "", 0) if request is None else summary_of(request)
        message = BadMessage(position, is_request=True, reason=str(error))
        http = summary._replace(status=error.status)
        self.connection.report_refused(message, ErrorCode.EREQUEST, len(data), http)
        self.put(position, data)

    # --- answers ---

    def put(self, position: int, data: IOBuf) -> None:
        """Put an answer, which is written at the end of the turn."""
        self.replies.put(position, data)
        self._has_replies = True

    def answer_now(self, position: int, data: IOBuf) -> None:
        """Put an answer, and write it if it is its turn. Any thread."""
        self.replies.put(position, data)
        self.replies.write()

    def refuse(self, request: HttpRequest, refusal: Refusal) -> None:
        """Answer a request that was read whole with an error. In a turn."""
        data = request.error(refusal.error_code, refusal.text, refusal.status, refusal.headers)
        self.connection.note_refused(
            refusal.rpc or _rpc_request_of(request),
            refusal.error_code,
            len(data),
            refusal.blamed,
            summary_of(request),
        )
        self.put(request.position, data)

    def _refuse(self, request: HttpRequest, refusal: Refusal) -> None:
        """Answer a request whose body may follow. It is read and thrown away if it is short."""
        head = request.head
        request.is_discarded = True
        length = head.content_length or 0
        is_long = length > min(MAX_DISCARDED_BYTES, request.max_bytes)
        if head.is_chunked or is_long or (length and head.expects_continue):
            self._refuse_and_close(request, refusal)
            return
        self._session.collected_bytes = HEAD_BYTES
        self.refuse(request, refusal)

    def _refuse_and_close(self, request: HttpRequest, refusal: Refusal) -> None:
        request.is_discarded = True
        self._request = None
        self._session.collected_bytes = 0
        request.keep_alive = False
        self.refuse(request, refusal)
        self._is_over = True
        self.replies.write()
        self.connection.discard_input(refusal.text)

    def _check_length(self, request: HttpRequest) -> None:
        length = request.head.content_length
        if length is not None and length > request.max_bytes:
            raise Refusal(_too_long(length, request.max_bytes), ErrorCode.EREQUEST, 413)

    def _refuse_long(self, request: HttpRequest) -> None:
        size = len(request.body)
        request.body.clear()
        refusal = Refusal(_too_long(size, request.max_bytes), ErrorCode.EREQUEST, 413)
        self._refuse_and_close(request, refusal)

    def _ask_for_body(self, request: HttpRequest) -> None:
        """The client waits for a word before it sends the body."""
        if request.body or request.was_asked_on:
            return
        request.was_asked_on = True
        self.replies.begin(request.position)
        self.replies.append(request.position, IOBuf(CONTINUE))
        self._has_replies = True

    def continue_body(self, request: HttpRequest) -> None:
        """Its sink wants the body now, so ask a client that waits for a word. Any thread."""
        self.replies.begin(request.position)
        self.replies.append(request.position, IOBuf(CONTINUE))
        self.replies.write()

    def end_input(self, request: HttpRequest) -> None:
        """The body of `request` is not wanted any more: if it is not complete, read no more, and
        close the connection when its answers are written. In a turn."""
        if self._request is request:
            self._request = None
            self._stop_reading()

    def end_input_soon(self, request: HttpRequest) -> None:
        """`end_input` in a turn. Any thread."""
        with contextlib.suppress(DispatcherClosedError):
            self.connection.server.dispatcher.post(lambda: self.end_input(request))

    def end_behind(self, request: HttpRequest) -> None:
        """The response of `request`, whose head was made, is the last one: read and answer nothing
        behind that request. Any thread."""
        request.keep_alive = False
        self.replies.end_behind(request.position)
        with contextlib.suppress(DispatcherClosedError):
            self.connection.server.dispatcher.post(lambda: self._stop_reading_behind(request))

    def end_with_whole(self, request: HttpRequest) -> None:
        """`end_behind` for a response that will be put whole, and closes the connection."""
        self.replies.end_with_whole(request.position, self.close_soon)
        self.end_behind(request)

    def _stop_reading_behind(self, request: HttpRequest) -> None:
        """In a turn. If the end of `request` has not come, it will stop the reading."""
        if self._request is not request and not self._is_over:
            # The body of a later request hears of it when the connection is closed.
            self._stop_reading()

    def _stop_reading(self) -> None:
        self._is_over = True
        self._session.collected_bytes = 0
        self.connection.socket.discard_reads()
        self.connection.retire()

    def close_soon(self) -> None:
        """Close the connection behind what was written, whatever calls run. Any thread."""
        with contextlib.suppress(DispatcherClosedError):
            self.connection.server.dispatcher.post(self._close)

    def _close(self) -> None:
        self.connection.close_gracefully(LONG_LINGER_S)

    def become_raw(self, sink: BodySink) -> None:
        """Give all that comes from now on to `sink`: another protocol follows. In a turn."""
        self._session.is_raw = True
        self._raw_sink = sink
        if self.end_error is not None:
            sink.on_failed(self.end_error)

    # --- credentials ---

    def verify(self, request: HttpRequest) -> None:
        """Verify the credential of a request. Raises Refusal."""
        connection = self.connection
        auth, client = connection.server.settings.auth, connection.socket.remote_side
        if auth is None or client is None:
            return
        credential = request.head.headers.get("authorization", "")
        try:
            request.auth_context = verified(auth, credential.encode("latin-1", "replace"), client)
        except BaseException as reason:
            # Whatever the verifier raises, it has not accepted the client.
            what = connection.socket.description
            connection.server.auth_log.warn("Fail to authenticate %s", what, reason=reason)
            deliver_interrupt(reason)
            code = int(AuthenticationError.default_code)
            text = f"[E{code}]{authentication_failure(0, reason).error_text}"
            raise Refusal(text, code, AUTHENTICATION_STATUS) from None

    # --- the end ---

    def on_end(self, error: RpcError) -> None:
        """Nothing more comes."""
        self._is_over = True
        if error.code == ErrorCode.EEOF:
            # Store, then load: either a new stream sees the end, or it is seen here.
            self.end_error = error
            for stream in list(self.streams):
                stream.on_client_gone(error)
        request, self._request = self._request, None
        if request is not None and request.sink is not None:
            request.sink.on_failed(error)
        if self._raw_sink is not None:
            self._raw_sink.on_failed(error)

    def on_failed(self, error: RpcError) -> None:
        """The connection has failed, or was closed."""
        self.on_end(error)
        # What is unread counts for the whole server, and nobody may come to read it.
        for queue in list(self.queues):
            queue.on_failed(error)
            queue.drop()
        self.replies.on_failed(error)

    def on_stop(self) -> None:
        """Tell those who go on for ever. Connections without requests are closed by the stop."""
        for stream in list(self.streams):
            stream.on_server_stop()

    def __repr__(self) -> str:
        return f"<HttpExchange of {self.connection!r}>"


def _rpc_request_of(request: HttpRequest) -> RpcRequest:
    """A request that names no method, for logs and traces."""
    head, path = request.head, request.resolved.path
    return RpcRequest(request.position, NO_SERVICE, f"{head.method} {path}"[:MAX_NAME])


def _too_long(size: int, limit: int) -> str:
    return f"body_size={size} is larger than max_body_size={limit}"
