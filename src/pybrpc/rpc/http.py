"""HttpMessage: what HTTP carries beside a message and its attachment. After bRPC's `HttpHeader`."""

from __future__ import annotations

from pybrpc.base.checked_options import checked_count, checked_text
from pybrpc.protocols.http1.head import RequestHead
from pybrpc.protocols.http1.headers import HeadersLike, HttpHeaders
from pybrpc.protocols.http1.status import reason_phrase
from pybrpc.protocols.http1.uri import URI

OK = 200


class HttpMessage:
    """The head of a request or a response of HTTP: `controller.http_request`, `http_response`.

    headers          without those that are about the connection or the length of the body
    method           of a request; "" in a response
    unresolved_path  what a request's path says beyond the method that it is mapped to, without
                     slashes at its ends: "b/c.txt" for `/v1/files/* => Get` and "/v1/files/b/c.txt"

    Of a request that was received, none is to be changed. Not thread-safe.
    """

    __slots__ = ("_head", "_headers", "_reason", "_status", "_uri", "method", "unresolved_path")

    def __init__(
        self,
        headers: HeadersLike = (),
        *,
        method: str = "",
        uri: URI | None = None,
        unresolved_path: str = "",
    ) -> None:
        self._headers: HttpHeaders | None = None
        if isinstance(headers, HttpHeaders):
            self._headers = headers
        elif headers:
            self._headers = HttpHeaders(headers)
        self.method = method
        self._uri = uri
        self._head: RequestHead | None = None
        self.unresolved_path = unresolved_path
        self._status = OK
        self._reason = ""

    @property
    def headers(self) -> HttpHeaders:
        """Made when they are first asked for: most responses have none of their own."""
        headers = self._headers
        if headers is None:
            headers = self._headers = HttpHeaders()
        return headers

    @headers.setter
    def headers(self, headers: HttpHeaders) -> None:
        self._headers = headers

    @property
    def uri(self) -> URI:
        """The URL of a request, not decoded. UriError if that of a peer has too many parameters."""
        uri = self._uri
        if uri is None:
            uri = self._uri = URI() if self._head is None else self._head.uri()
        return uri

    @uri.setter
    def uri(self, uri: URI) -> None:
        self._uri = uri

    @property
    def status_code(self) -> int:
        """The status of a response; 100 to 999."""
        return self._status

    @status_code.setter
    def status_code(self, status: int) -> None:
        self._status = checked_count("status_code", status, 100, 999)
        self._reason = ""

    @property
    def reason_phrase(self) -> str:
        """The text behind the status: "Not Found". Setting the status sets it too."""
        return self._reason or reason_phrase(self._status)

    @reason_phrase.setter
    def reason_phrase(self, reason: str) -> None:
        self._reason = checked_text("reason_phrase", reason)

    @property
    def content_type(self) -> str:
        """The header Content-Type, with its parameters; "" if there is none."""
        headers = self._headers
        return "" if headers is None else headers.content_type

    @content_type.setter
    def content_type(self, content_type: str) -> None:
        self.headers["Content-Type"] = checked_text("content_type", content_type)

    def only_content_type(self) -> str | None:
        """The Content-Type of a response in which nothing else was set; "" if nothing was, `None`
        if something else was."""
        if self._status != OK or self._reason:
            return None
        headers = self._headers
        return "" if headers is None else headers.only_content_type()

    def __repr__(self) -> str:
        """Without the query and the headers, which may have secrets."""
        if self.method:
            return f"<HttpMessage {self.method} {self.uri.path}>"
        return f"<HttpMessage {self._status} {self.reason_phrase}>"


def received_request(head: RequestHead, unresolved_path: str) -> HttpMessage:
    """The HttpMessage of a request that was received."""
    message = HttpMessage.__new__(HttpMessage)
    message._headers = head.headers
    message.method = head.method
    message.unresolved_path = unresolved_path
    message._head = head
    message._uri = None
    message._status = OK
    message._reason = ""
    return message
