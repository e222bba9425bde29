"""HttpRequest: one request of HTTP, from its head to its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.http1 import URI, HttpHeaders, RequestHead, ResponseWriter, status_of_error
from pybrpc.protocols.http1.status import ERROR_CODE_HEADER
from pybrpc.protocols.http1.writer import check_final
from pybrpc.rpc.authenticator import AuthContext
from pybrpc.server.http.resolved_head import ResolvedHead

REQUEST_BYTES = 2048
"""Memory held by a request beside its body, in bytes."""


class BodySink(Protocol):
    """Takes the parts of a body as they come. Called in turns; must not block, nor run code of
    users."""

    def on_part(self, data: IOBuf) -> None:
        """A part has come."""

    def on_end(self, trailers: HttpHeaders | None) -> None:
        """The body is complete."""

    def on_failed(self, error: BaseException) -> None:
        """No more comes, though the body is not complete."""


class HttpRequest:
    """In turns, until it is given to the one who answers it.

    body         what has come of the body, if it is collected
    max_bytes    bytes that its body may have
    position     of its response, in `HttpReplies`
    sink         takes the body instead of `body`
    """

    __slots__ = (
        "auth_context",
        "body",
        "is_discarded",
        "keep_alive",
        "max_bytes",
        "position",
        "received_at",
        "resolved",
        "sink",
        "status",
        "trailers",
        "was_asked_on",
    )

    def __init__(self, resolved: ResolvedHead, position: int, received_at: float) -> None:
        self.resolved = resolved
        self.keep_alive = resolved.head.keep_alive
        """Whether the connection is kept after the response. A response that was made may have
        ended that: its headers have `Connection: close`."""
        self.position = position
        self.received_at = received_at
        self.body = IOBuf()
        self.auth_context: AuthContext | None = None
        self.is_discarded = False
        """Whether it was answered before its body was complete."""
        self.max_bytes = 0
        self.sink: BodySink | None = None
        self.status = 0
        """Status of the response that was made last; 0: there is none yet."""
        self.trailers: HttpHeaders | None = None
        self.was_asked_on = False
        """Whether the client was told to go on with the body."""

    @property
    def head(self) -> RequestHead:
        """Shared with later requests that have the same head: not to be changed."""
        return self.resolved.head

    @property
    def uri(self) -> URI:
        """The whole URL. Not to be changed."""
        return self.resolved.uri

    @property
    def cors(self) -> Mapping[str, str] | None:
        """Headers that go with each response."""
        return self.resolved.cors

    @property
    def rest(self) -> str:
        """All that the path says beside the name of what answers."""
        return self.resolved.rest

    def new_writer(self) -> ResponseWriter:
        """The writer of its response."""
        return ResponseWriter(self.resolved.head, self.keep_alive)

    def error(
        self,
        error_code: int,
        text: str,
        status: int | None = None,
        headers: Mapping[str, str] | HttpHeaders | None = None,
    ) -> IOBuf:
        """The response of a call that failed with a code of bRPC: the text is the body."""
        fields = HttpHeaders(headers or ())
        for of_the_success in ("content-encoding", "content-length", "transfer-encoding"):
            fields.pop(of_the_success, None)
        fields["Content-Type"] = "text/plain; charset=utf-8"
        fields["X-Content-Type-Options"] = "nosniff"
        fields[ERROR_CODE_HEADER] = str(error_code)
        body = text.encode("utf-8", "backslashreplace")
        return self.whole(status_of_error(error_code) if status is None else status, fields, body)

    def whole(
        self,
        status: int,
        headers: HttpHeaders,
        body: bytes | IOBuf = b"",
        reason: str | None = None,
    ) -> IOBuf:
        """The bytes of a response. ValueError for a header or a status that can't be sent."""
        check_final(status)
        if self.resolved.cors is not None:
            headers.update(self.resolved.cors)
        writer = self.new_writer()
        data = writer.whole(status, headers, body, reason)
        self.keep_alive = writer.keep_alive
        self.status = status
        return data

    def ends_connection(self) -> bool:
        """Whether the response ends the connection, though the client would keep it."""
        return not self.keep_alive and self.resolved.head.keep_alive

    def __repr__(self) -> str:
        """Without the query, which may have secrets."""
        return f"<HttpRequest {self.head!r}>"


class Target(Protocol):
    """An object that answers requests of some paths. Both methods are called in turns."""

    def begin(self, exchange: Any, request: HttpRequest) -> BodySink | None:
        """The head has come. Return what takes the body, or `None` to have it collected."""

    def run(self, exchange: Any, request: HttpRequest, calls: list[Any]) -> None:
        """`request` is whole; its answer goes to its position. A call that was admitted is added
        to `calls`."""
