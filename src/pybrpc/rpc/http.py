"""HttpHeader: the head of a request or response of HTTP, as `controller.http_request` and
`http_response` show it. After bRPC's `HttpHeader`, src/brpc/http_header.h.
"""

from __future__ import annotations

from typing import Any, Protocol

from pybrpc.base.checked_options import checked_count, checked_text
from pybrpc.protocols.http1.grammar import TOKEN, VALUE
from pybrpc.protocols.http1.head import RequestHead, ResponseHead
from pybrpc.protocols.http1.headers import HeadersLike, HttpHeaders
from pybrpc.protocols.http1.status import reason_phrase
from pybrpc.protocols.http1.uri import URI

_LEAST_STATUS, _MOST_STATUS = 200, 999
"""An interim response, 1xx, is none: the client would take the next response for this one."""


_CHECKED_TYPES: set[str] = set()
"""Content-Types that were found to be valid, so that they are not checked for each response."""
_MAX_CHECKED_TYPES, _LONG_TYPE = 64, 128


class Attachments(Protocol):
    """Makes the progressive attachment of a response."""

    def new_attachment(self) -> Any:
        """RuntimeError if there is one already."""


class HttpHeader:
    """The head of one message of HTTP. Not thread-safe.

    A request uses `method` and `uri`, a response `status_code` and `reason`; both have `headers`
    and `content_type`. What is set is checked: a TypeError or a ValueError says what is allowed.

    version          "1.1"; that of the peer in a received message
    unresolved_path  in a handler: the part of the path behind the one that names the method
    """

    __slots__ = (
        "_attachments",
        "_content_type",
        "_head",
        "_headers",
        "_method",
        "_reason",
        "_status_code",
        "_uri",
        "_version",
        "body",
        "unresolved_path",
    )

    def __init__(self, headers: HeadersLike = ()) -> None:
        self._content_type = ""
        """The Content-Type of a response, before it has any headers."""
        self._headers: HttpHeaders | None = None
        if headers != ():  # of most; to ask an abstract class what they are costs more
            self._headers = headers if isinstance(headers, HttpHeaders) else HttpHeaders(headers)
        self._version: str | None = None
        self.unresolved_path = ""
        self._method = ""
        self._uri: URI | None = None
        self.body: Any = None
        """In a request to a method with `enable_progressive_read`: the body, to be read in
        parts."""
        self._attachments: Attachments | None = None
        """Makes the progressive attachment of the response to this request."""
        self._head: RequestHead | None = None
        """Has the URL, until somebody asks for it."""
        self._status_code = 200
        self._reason: str | None = None

    @property
    def version(self) -> str:
        """The version of HTTP, as "1.1"."""
        version = self._version
        if version is None:
            version = self._version = "1.1" if self._head is None else self._head.version
        return version

    @version.setter
    def version(self, version: str) -> None:
        self._version = version

    @property
    def headers(self) -> HttpHeaders:
        """Made when they are first asked for: most responses have none of their own."""
        headers = self._headers
        if headers is None:
            head = self._head
            # A copy: requests whose heads are the same share one head.
            headers = self._headers = HttpHeaders() if head is None else head.headers.copy()
            if self._content_type:
                headers["Content-Type"] = self._content_type
                self._content_type = ""
        return headers

    @headers.setter
    def headers(self, headers: HttpHeaders) -> None:
        if not isinstance(headers, HttpHeaders):
            raise TypeError(f"headers must be a pybrpc.HttpHeaders, not {headers!r:.200}")
        self._headers = headers
        self._content_type = ""

    @property
    def method(self) -> str:
        """The method of a request, "GET" unless another one is set; a stub sends POST."""
        return self._method or "GET"

    @method.setter
    def method(self, method: str) -> None:
        self._method = checked_method(method)

    @property
    def uri(self) -> URI:
        """The URL of a request. Set to a text, it becomes the URI of that text: UriError, a
        ValueError, if it is none."""
        uri = self._uri
        if uri is None:
            uri = self._uri = URI() if self._head is None else self._head.uri()
        return uri

    @uri.setter
    def uri(self, uri: str | URI) -> None:
        self._uri = uri if isinstance(uri, URI) else URI(checked_text("uri", uri))

    @property
    def status_code(self) -> int:
        """The status of a response, 200 unless another one is set."""
        return self._status_code

    @status_code.setter
    def status_code(self, status_code: int) -> None:
        self._status_code = int(
            checked_count("status_code", status_code, _LEAST_STATUS, _MOST_STATUS)
        )

    @property
    def reason(self) -> str:
        """The text behind the status, that of the status itself unless another one is set."""
        return reason_phrase(self._status_code) if self._reason is None else self._reason

    @reason.setter
    def reason(self, reason: str) -> None:
        if not VALUE.fullmatch(checked_text("reason", reason)):
            raise ValueError("reason has a control character")
        self._reason = reason

    @property
    def content_type(self) -> str:
        """The header Content-Type; "" if there is none."""
        headers = self._headers
        if headers is None:
            head = self._head
            return self._content_type if head is None else head.headers.content_type
        return headers.content_type

    @content_type.setter
    def content_type(self, content_type: str) -> None:
        is_new = self._headers is None and self._head is None
        if is_new and type(content_type) is str and content_type in _CHECKED_TYPES:
            self._content_type = content_type
            return
        self.headers["Content-Type"] = content_type
        if len(_CHECKED_TYPES) < _MAX_CHECKED_TYPES and 0 < len(content_type) < _LONG_TYPE:
            _CHECKED_TYPES.add(content_type)

    def only_content_type(self) -> str | None:
        """The Content-Type of a response in which nothing else was set; "" if nothing was, `None`
        if something else was."""
        if self._status_code != 200 or self._reason is not None:
            return None
        headers = self._headers
        return self._content_type if headers is None else headers.only_content_type()

    def __repr__(self) -> str:
        """Without the query and without headers: they may be secrets."""
        if self._uri is not None or self._method:
            path = self._head.target.partition("?")[0] if self._head else self.uri.path
            return f"<HttpHeader {self.method} {path or '/'}, {len(self.headers)} headers>"
        return f"<HttpHeader {self.status_code} {self.reason}, {len(self.headers)} headers>"


def received_request(head: RequestHead, unresolved_path: str) -> HttpHeader:
    """The head of a request that was received. Its `uri` raises UriError if its target is no URL,
    or has too many parameters."""
    header = HttpHeader.__new__(HttpHeader)
    header._attachments = header.body = None
    header._content_type = ""
    header._head = head
    header._headers = None
    header._method = head.method
    header._reason = None
    header._status_code = 200
    header._uri = None
    header._version = None
    header.unresolved_path = unresolved_path
    return header


def received_response(head: ResponseHead) -> HttpHeader:
    """The head of a response that was received."""
    header = HttpHeader(head.headers)
    header.version = head.version
    header._status_code = head.status
    header._reason = head.reason
    return header


def checked_method(method: object) -> str:
    """`method` if it can be the method of a request, else a TypeError or a ValueError."""
    text = checked_text("method", method)
    if not TOKEN.fullmatch(text):
        raise ValueError(f"{text!r} can't be the method of a request")
    return text
