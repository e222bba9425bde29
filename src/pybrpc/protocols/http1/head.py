"""RequestHead, ResponseHead and MessageEnd: the values that a parser of HTTP/1 returns.

The framing of a message (RFC 9112, 6) is decided here too, with its head: how long the body is, and
whether the connection is kept. `new_request_head` and `new_response_head` serve both head parsers.
"""

from __future__ import annotations

from dataclasses import dataclass

from pybrpc.protocols.http1.errors import (
    FramingError,
    HeadersTooLargeError,
    MalformedHeadError,
    MissingHostError,
    UnsupportedCodingError,
    UnsupportedMethodError,
    UrlTooLongError,
)
from pybrpc.protocols.http1.grammar import CONTENT_LENGTH, HOST
from pybrpc.protocols.http1.headers import HttpHeaders, new_headers, repeated_names, tokens_in
from pybrpc.protocols.http1.options import ParserOptions
from pybrpc.protocols.http1.uri import URI, uri_of_target

Pairs = list[tuple[str, str]]
"""Names and values of headers, as they were received."""

_SINGLE = frozenset(("host", "content-length", "transfer-encoding"))
_NEVER_IN_TRAILERS = frozenset(("host", "content-length", "transfer-encoding", "connection"))


class MessageHead:
    """The start line and the headers of a message. Values of a parser: not to be changed.

    headers         its HttpHeaders, which the user may change
    minor_version   1 for HTTP/1.1
    content_length  the number in Content-Length; None without one
    is_chunked      whether the body comes in chunks
    keep_alive      whether the connection is kept after this message and the answer to it
    """

    __slots__ = ("content_length", "headers", "is_chunked", "keep_alive", "minor_version")

    headers: HttpHeaders
    minor_version: int
    content_length: int | None
    is_chunked: bool
    keep_alive: bool

    @property
    def version(self) -> str:
        """ "1.1" """
        return f"1.{self.minor_version}"

    @property
    def upgrade(self) -> str:
        """The protocols in Upgrade, if Connection names it, in lower case: "websocket". Else ""."""
        headers = self.headers
        wanted = headers.get("upgrade", "") if self.minor_version else ""
        is_named = bool(wanted) and "upgrade" in tokens_in(headers.get("connection", ""))
        return wanted.lower() if is_named else ""


class RequestHead(MessageHead):
    """The head of a request. `target` is the one in the request line; bytes from 0x80 on are in it
    as UTF-8, those that are no UTF-8 as surrogates ("surrogateescape")."""

    __slots__ = ("method", "target")

    method: str
    target: str

    @property
    def expects_continue(self) -> bool:
        """Whether the peer may wait for `100 Continue` before it sends the body. RFC 9110,
        10.1.1."""
        if not self.minor_version or not (self.is_chunked or self.content_length):
            return False
        return self.headers.get("expect", "").lower() == "100-continue"

    def uri(self) -> URI:
        """The target as a new URI, with the host of Host if the target has none. UriError."""
        return uri_of_target(self.target, self.headers.get("host"))

    def __repr__(self) -> str:
        """Without the query, which may have secrets."""
        path, mark, _ = self.target.partition("?")
        return f"<RequestHead {self.method} {path}{mark and '?...'} HTTP/{self.version}>"


class ResponseHead(MessageHead):
    """The head of a response. `reason` is the text behind the status."""

    __slots__ = ("reason", "status")

    status: int
    reason: str

    @property
    def is_interim(self) -> bool:
        """Whether another response to the same request follows: 1xx, but not 101."""
        return self.status < 200 and self.status != 101

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} {self.reason} HTTP/{self.version}>"


@dataclass(frozen=True, slots=True)
class MessageEnd:
    """The end of a message, with the trailers after a chunked body; None without any."""

    trailers: HttpHeaders | None = None


END = MessageEnd()


def new_request_head(
    method: str, target: str, minor_version: int, pairs: Pairs, options: ParserOptions
) -> RequestHead:
    """The head of a request whose parts follow the grammar. Raises an HttpParseError if they have
    no meaning together, or are over a limit."""
    check_method(method, options)
    if len(target) > options.max_url_length:
        raise url_too_long(options)
    head = RequestHead.__new__(RequestHead)
    head.method = method
    head.target = target if target.isascii() else _as_utf8(target)
    head.minor_version = minor_version
    first = target[0]
    if first != "/" or method == "CONNECT":
        _check_target(method, target)
    _set_headers(head, pairs, options)
    host = head.headers._fields.get("host")
    if host is not None:
        if not HOST.fullmatch(host[1]):
            raise MalformedHeadError("Host is no host and port")
    elif minor_version and options.require_host and (first == "/" or "://" not in target):
        raise MissingHostError("HTTP/1.1 needs a Host")
    if method == "CONNECT":
        head.keep_alive = False
        if head.is_chunked or head.content_length:
            raise FramingError("CONNECT with a body")
    return head


def new_response_head(
    status: int, reason: str, minor_version: int, pairs: Pairs, options: ParserOptions
) -> ResponseHead:
    """The head of a response; see `new_request_head`."""
    head = ResponseHead.__new__(ResponseHead)
    head.status = status
    head.reason = reason
    head.minor_version = minor_version
    _set_headers(head, pairs, options)
    return head


def new_trailers(pairs: Pairs, options: ParserOptions) -> HttpHeaders | None:
    """Trailers. Those that would change the framing or the target are refused. RFC 9110, 6.5.1."""
    if not pairs:
        return None
    _check_count(pairs, options)
    trailers = new_headers(pairs)
    for name in trailers._fields:
        if name in _NEVER_IN_TRAILERS:
            raise FramingError(f"{name} in the trailers")
    return trailers


def check_method(method: str, options: ParserOptions) -> None:
    if method not in options.methods:
        raise UnsupportedMethodError(f"no method is called {method[:32]!r}")


def url_too_long(options: ParserOptions) -> UrlTooLongError:
    return UrlTooLongError(f"a URL is longer than max_url_length={options.max_url_length}")


def _set_headers(head: MessageHead, pairs: Pairs, options: ParserOptions) -> None:
    _check_count(pairs, options)
    headers = head.headers = new_headers(pairs)
    fields = headers._fields
    if len(fields) < len(pairs):
        for name in _SINGLE & repeated_names(pairs):
            error = MalformedHeadError if name == "host" else FramingError
            raise error(f"more than one {name}")
    head.keep_alive = head.minor_version > 0
    connection = fields.get("connection")
    if connection is not None:
        tokens = tokens_in(connection[1])
        if "close" in tokens:
            head.keep_alive = False
        elif not head.minor_version:
            head.keep_alive = "keep-alive" in tokens
    head.content_length = None
    head.is_chunked = False
    length = fields.get("content-length")
    coding = fields.get("transfer-encoding")
    if coding is not None:
        _set_chunked(head, coding[1], length is not None, options)
    elif length is not None:
        if not CONTENT_LENGTH.fullmatch(length[1]):
            raise FramingError("Content-Length is no number of bytes")
        head.content_length = int(length[1])


def _set_chunked(head: MessageHead, coding: str, has_length: bool, options: ParserOptions) -> None:
    """RFC 9112, 6.1 and 6.3."""
    if has_length and not options.allow_chunked_length:
        raise FramingError("both Content-Length and Transfer-Encoding")
    if coding.lower() != "chunked":
        codings = tokens_in(coding)
        if codings[-1:] == ["chunked"] and "chunked" not in codings[:-1]:
            raise UnsupportedCodingError("a transfer coding other than chunked")
        raise FramingError("chunked is not the last transfer coding, or not the only one")
    if not head.minor_version:
        raise FramingError("Transfer-Encoding in HTTP/1.0")
    if has_length:
        del head.headers["content-length"]
        head.keep_alive = False
    head.is_chunked = True


def _check_count(pairs: Pairs, options: ParserOptions) -> None:
    if len(pairs) > options.max_header_count:
        raise HeadersTooLargeError(f"more than max_header_count={options.max_header_count} headers")


def _check_target(method: str, target: str) -> None:
    """The forms of a target other than a path. RFC 9112, 3.2."""
    if method == "CONNECT":
        is_valid = HOST.fullmatch(target) is not None and ":" in target
    elif target == "*":
        is_valid = method == "OPTIONS"
    else:
        scheme, mark, rest = target.partition("://")
        is_scheme = bool(mark) and scheme.isascii() and scheme.isalnum()
        is_valid = is_scheme and rest[:1] not in ("", "/", "?", "#")
    if not is_valid:
        raise MalformedHeadError(f"the target of {method} is neither a path nor a URL")


def _as_utf8(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", "surrogateescape")
