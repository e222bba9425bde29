"""HttpMessage: what HTTP carries beside a message and its attachment. After bRPC's `HttpHeader`."""

from __future__ import annotations

from typing import Any, Protocol

from pybrpc.base.checked_options import checked_count, checked_text
from pybrpc.errors import BadRequestError
from pybrpc.protocols.http1.headers import HeadersLike, HttpHeaders
from pybrpc.protocols.http1.status import reason_phrase
from pybrpc.protocols.http1.uri import URI

OK = 200


class Attachments(Protocol):
    """Makes the progressive attachment of a response."""

    def new_attachment(self) -> Any:
        """RuntimeError if there is one already."""


class HttpMessage:
    """The head of a request or a response of HTTP: `controller.http_request`, `http_response`.

    headers          without those that are about the connection or the length of the body
    method           of a request; "" in a response
    uri              of a request, not decoded
    unresolved_path  what a request's path says beyond the method that it is mapped to, without
                     slashes at its ends: "b/c.txt" for `/v1/files/* => Get` and "/v1/files/b/c.txt"

    Of a request that was received, none is to be changed. Not thread-safe.
    """

    __slots__ = (
        "_attachments",
        "_reason",
        "_status",
        "body",
        "headers",
        "method",
        "unresolved_path",
        "uri",
    )

    def __init__(
        self,
        headers: HeadersLike = (),
        *,
        method: str = "",
        uri: URI | None = None,
        unresolved_path: str = "",
    ) -> None:
        self.headers = headers if isinstance(headers, HttpHeaders) else HttpHeaders(headers)
        self.method = method
        self.uri = URI() if uri is None else uri
        self.unresolved_path = unresolved_path
        self.body: Any = None
        """In a request to a method with `enable_progressive_read`: an HttpBody, or AioHttpBody."""
        self._attachments: Attachments | None = None
        self._status = OK
        self._reason = ""

    @property
    def status_code(self) -> int:
        """Of a response; 100 to 999."""
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
        return self.headers.get("content-type", "")

    @content_type.setter
    def content_type(self, content_type: str) -> None:
        self.headers["Content-Type"] = checked_text("content_type", content_type)

    @property
    def is_untouched(self) -> bool:
        """Whether a response has nothing that was set."""
        return self._status == OK and not self._reason and not self.headers

    def __repr__(self) -> str:
        """Without the query and the headers, which may have secrets."""
        if self.method:
            return f"<HttpMessage {self.method} {self.uri.path}>"
        return f"<HttpMessage {self._status} {self.reason_phrase}>"


def progressive_attachment_of(made: HttpMessage | None) -> Any:
    """The writer of the body of the response `made`. BadRequestError, for the caller, if it has
    none: only HTTP does."""
    attachments = None if made is None else made._attachments
    if attachments is None:
        raise BadRequestError("this method sends its response in parts, which only HTTP carries")
    return attachments.new_attachment()
