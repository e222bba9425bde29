"""RequestWriter and ResponseWriter: the bytes of one message of HTTP/1.1, head and body.

A message is written whole, or in parts: `begin`, `part` as often as there is data, `end`. The
framing is the writer's: it sets Content-Length or Transfer-Encoding, and ignores these headers if
the user has set them. Bodies are shared with the returned IOBufs, not copied.

Nothing that a user passes can begin another header or message: a method, a target, a reason or a
header with a blank or a control character in the wrong place is a ValueError.

bRPC: MakeRawHttpRequest and MakeRawHttpResponse, src/brpc/details/http_message.cpp.
"""

from __future__ import annotations

import base64
from typing import TypeAlias

from pybrpc.iobuf.blocks import BytesLike
from pybrpc.iobuf.iobuf import IOBuf, iobuf_of
from pybrpc.protocols.http1.grammar import TARGET, TOKEN, VALUE
from pybrpc.protocols.http1.head import RequestHead
from pybrpc.protocols.http1.headers import HeadersLike, HttpHeaders, tokens_in
from pybrpc.protocols.http1.status import reason_phrase
from pybrpc.protocols.http1.uri import URI

Body: TypeAlias = "BytesLike | IOBuf"

USER_AGENT = "brpc/1.0 curl/7.0"
"""As in C++ bRPC: servers return plain text to a user agent that contains curl/."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""The answer to `Expect: 100-continue`. RFC 9110, 15.2.1."""

_FRAMING = frozenset(("content-length", "transfer-encoding"))
_NOT_BEGUN, _WHOLE_OR_OVER, _BY_LENGTH, _CHUNKED, _UNTIL_CLOSE, _NO_BODY = range(6)


class MessageWriter:
    """The base class of both writers, for one message. Not thread-safe; does no I/O.

    RuntimeError if its methods are called in another order than that of a message.
    """

    __slots__ = ("_left", "_state")

    def __init__(self) -> None:
        self._state = _NOT_BEGUN
        self._left = 0

    def part(self, data: Body) -> IOBuf:
        """The bytes of a part of the body. Empty data has none. ValueError if it is longer than
        the Content-Length; a body that is not sent, as to HEAD, has no bytes."""
        size = len(data) if isinstance(data, bytes | bytearray | IOBuf) else memoryview(data).nbytes
        state = self._state
        if state in (_NOT_BEGUN, _WHOLE_OR_OVER):
            raise RuntimeError("a part of a body belongs between begin() and end()")
        if state == _NO_BODY or not size:
            return IOBuf()
        if state == _CHUNKED:
            found = iobuf_of(b"%x\r\n" % size)
            found.append(data)
            found.append(b"\r\n")
            return found
        if state == _BY_LENGTH:
            if size > self._left:
                raise ValueError(f"the body has {size - self._left} bytes more than Content-Length")
            self._left -= size
        return IOBuf(data)

    def end(self, trailers: HeadersLike = ()) -> IOBuf:
        """The bytes after the body: the last chunk and trailers, which only a chunked body can
        have. ValueError if bytes of a Content-Length are missing, or trailers can't be sent."""
        state = self._state
        if state in (_NOT_BEGUN, _WHOLE_OR_OVER):
            raise RuntimeError("end() belongs behind begin()")
        if state == _BY_LENGTH and self._left:
            raise ValueError(f"the body has {self._left} bytes less than Content-Length")
        fields = _as_headers(trailers)
        for name in _FRAMING | {"host", "connection"}:
            if name in fields:
                raise ValueError(f"{name} can't be a trailer")
        if fields and state in (_BY_LENGTH, _UNTIL_CLOSE):
            raise ValueError("only a chunked body can have trailers")
        self._state = _WHOLE_OR_OVER
        if state != _CHUNKED:
            return IOBuf()
        return iobuf_of(f"0\r\n{_lines(fields)}\r\n".encode("latin-1"))

    @property
    def is_chunked(self) -> bool:
        """Whether `begin` has begun a chunked body."""
        return self._state == _CHUNKED

    def _start(self, state: int, left: int = 0) -> None:
        if self._state != _NOT_BEGUN:
            raise RuntimeError("a message was begun already")
        self._state = state
        self._left = left


class RequestWriter(MessageWriter):
    """Writes one request, for a client.

    `host` is for the Host header, if the headers have none and the target has no host. With
    `defaults`, Accept and User-Agent are added as C++ bRPC does.
    """

    __slots__ = ("_defaults", "_host")

    def __init__(self, host: str = "", defaults: bool = True) -> None:
        super().__init__()
        self._host = host
        self._defaults = defaults

    def whole(
        self, method: str, target: str | URI, headers: HeadersLike = (), body: Body = b""
    ) -> IOBuf:
        """The bytes of a request. Without a body, GET and HEAD have no Content-Length."""
        size = _size_of(body)
        has_length = size or method not in ("GET", "HEAD")
        framing = f"Content-Length: {size}\r\n" if has_length else ""
        found = self._head(method, target, headers, framing)
        self._start(_WHOLE_OR_OVER)
        if size:
            found.append(body)
        return found

    def begin(
        self,
        method: str,
        target: str | URI,
        headers: HeadersLike = (),
        content_length: int | None = None,
    ) -> IOBuf:
        """The head of a request whose body follows in parts: in chunks, or as many bytes as
        `content_length` says."""
        _check_length(content_length)
        if content_length is None:
            found = self._head(method, target, headers, "Transfer-Encoding: chunked\r\n")
            self._start(_CHUNKED)
        else:
            found = self._head(method, target, headers, f"Content-Length: {content_length}\r\n")
            self._start(_BY_LENGTH, content_length)
        return found

    def _head(self, method: str, target: str | URI, headers: HeadersLike, framing: str) -> IOBuf:
        if not isinstance(method, str) or not TOKEN.fullmatch(method):
            raise ValueError(f"{method!r} can't be the method of a request")
        fields = headers if type(headers) is HttpHeaders else HttpHeaders(headers)
        _check_coding(fields)
        names = fields._fields
        host, before, behind = self._host, "", ""
        if isinstance(target, URI):
            host = target.authority or host
            if target.user_info and "authorization" not in names:
                secret = base64.b64encode(target.user_info.encode("utf-8", "surrogateescape"))
                behind = f"Authorization: Basic {secret.decode('ascii')}\r\n"
            target = target.target
        if "host" not in names:
            _check_value("Host", host)
            before = f"Host: {host}\r\n"
        if self._defaults:
            if "user-agent" not in names:
                behind = f"User-Agent: {USER_AGENT}\r\n{behind}"
            if "accept" not in names:
                behind = f"Accept: */*\r\n{behind}"
        text = f"{framing}{before}{_lines(fields)}{behind}\r\n"
        line = b"%s %s HTTP/1.1\r\n" % (method.encode("ascii"), _target_bytes(target))
        return iobuf_of(line + text.encode("latin-1"))


class ResponseWriter(MessageWriter):
    """Writes the response to one request, for a server.

    `request` says what the client understands: without one, it is a GET of HTTP/1.1.
    `keep_alive` False ends the connection behind the response. After `whole` or `begin`,
    `keep_alive` says whether the connection is kept: the caller closes it otherwise, once the
    response is written.
    """

    __slots__ = ("_is_head", "_minor_version", "keep_alive")

    def __init__(self, request: RequestHead | None = None, keep_alive: bool = True) -> None:
        super().__init__()
        self._is_head = request is not None and request.method == "HEAD"
        self._minor_version = 1 if request is None else request.minor_version
        self.keep_alive = keep_alive and (request is None or request.keep_alive)

    def whole(
        self,
        status: int,
        headers: HeadersLike = (),
        body: Body = b"",
        reason: str | None = None,
    ) -> IOBuf:
        """The bytes of a response. To HEAD, only the head is sent: with a Transfer-Encoding or else
        a Content-Length of the headers, or else the length of the body. With a status 1xx, 204 or
        304 there is neither."""
        fields = _as_headers(headers)
        size = _size_of(body)
        framing = ""
        if _has_length(status):
            length = fields.get("content-length") if self._is_head else None
            framing = f"Content-Length: {_checked(length) or size}\r\n"
            if self._is_head and self._minor_version and "transfer-encoding" in fields:
                framing = "Transfer-Encoding: chunked\r\n"
        found = self._head(status, fields, reason, framing)
        self._start(_WHOLE_OR_OVER)
        if size and _has_length(status) and not self._is_head:
            found.append(body)
        return found

    def begin(
        self,
        status: int,
        headers: HeadersLike = (),
        content_length: int | None = None,
        reason: str | None = None,
    ) -> IOBuf:
        """The head of a response whose body follows in parts: as many bytes as `content_length`
        says, else in chunks, or to a client of HTTP/1.0 until the connection ends. ValueError for a
        status 1xx: the client would take the next response for the one to its request."""
        _check_length(content_length)
        check_final(status)
        state, framing = _UNTIL_CLOSE, ""
        if not _has_length(status):
            state = _NO_BODY
        elif content_length is not None:
            state, framing = _BY_LENGTH, f"Content-Length: {content_length}\r\n"
        elif self._minor_version:
            state, framing = _CHUNKED, "Transfer-Encoding: chunked\r\n"
        else:
            self.keep_alive = False
        found = self._head(status, _as_headers(headers), reason, framing)
        self._start(_NO_BODY if self._is_head else state, content_length or 0)
        return found

    def interim(self, status: int, headers: HeadersLike = ()) -> IOBuf:
        """A response 1xx that goes before the response, such as 103 Early Hints. ValueError for
        another status and for 101, which `whole` writes. HTTP/1.0 has none: no bytes."""
        if not 100 <= status < 200 or status == 101:
            raise ValueError(f"{status} is no status of an interim response")
        if self._state != _NOT_BEGUN:
            raise RuntimeError("an interim response goes before the response")
        if not self._minor_version:
            return IOBuf()
        line = f"HTTP/1.1 {status} {reason_phrase(status)}\r\n"
        return iobuf_of(f"{line}{_lines(_as_headers(headers))}\r\n".encode("latin-1"))

    def _head(self, status: int, fields: HttpHeaders, reason: str | None, framing: str) -> IOBuf:
        if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 999:
            raise ValueError(f"{status!r} is no status of HTTP")
        if reason is not None:
            _check_value("the reason phrase", reason)
        connection = self._connection(status, fields)
        line = f"HTTP/1.1 {status} {reason_phrase(status) if reason is None else reason}\r\n"
        return iobuf_of(f"{line}{framing}{_lines(fields)}{connection}\r\n".encode("latin-1"))

    def _connection(self, status: int, fields: HttpHeaders) -> str:
        """The line of Connection that the headers need."""
        wanted = fields.get("connection")
        if wanted is not None:
            tokens = tokens_in(wanted)
            if "close" in tokens or self.keep_alive or status == 101:
                self.keep_alive = self.keep_alive and "close" not in tokens
                return ""
            del fields["connection"]
        if not self.keep_alive:
            return "Connection: close\r\n"
        return "" if self._minor_version else "Connection: keep-alive\r\n"


def _has_length(status: int) -> bool:
    """Whether a response with this status may have a body, and a Content-Length. RFC 9110, 8.6."""
    return status >= 200 and status != 204 and status != 304


def check_final(status: object) -> None:
    """ValueError for a status 1xx: behind such a response, another one to the same request must
    follow, or no HTTP at all."""
    if isinstance(status, int) and status < 200:
        raise ValueError(f"{status} is not the status of a whole response")


def _as_headers(headers: HeadersLike) -> HttpHeaders:
    """A copy. Headers of the framing are left out by `_lines`. ValueError as `_check_coding`."""
    found = HttpHeaders(headers)
    _check_coding(found)
    return found


def _check_coding(headers: HttpHeaders) -> None:
    """ValueError for a transfer coding that the writer doesn't do."""
    coding = headers._fields.get("transfer-encoding")
    if coding is not None and coding[1].lower() != "chunked":
        raise ValueError(f"the transfer coding {coding[1]!r} is not supported")


def _lines(fields: HttpHeaders) -> str:
    known = fields._fields
    lines = [f"{name}: {value}\r\n" for key, (name, value) in known.items() if key not in _FRAMING]
    lines += [f"{name}: {value}\r\n" for name, value in fields._cookies]
    return "".join(lines)


def _target_bytes(target: str) -> bytes:
    data = target.encode("utf-8", "surrogateescape")
    if not TARGET.fullmatch(data.decode("latin-1")):
        raise ValueError("the target of a request is empty, or has a blank or a control character")
    return data


def _check_value(what: str, value: str) -> None:
    if not VALUE.fullmatch(value):
        raise ValueError(f"{what} has a control character")
    value.encode("latin-1")


def _check_length(content_length: int | None) -> None:
    if content_length is not None and content_length < 0:
        raise ValueError(f"content_length must be at least 0, not {content_length}")


def _checked(length: str | None) -> str:
    if length is not None and not (length.isascii() and length.isdigit()):
        raise ValueError(f"the Content-Length {length!r} is no number of bytes")
    return length or ""


def _size_of(body: Body) -> int:
    if isinstance(body, bytes | bytearray | IOBuf):
        return len(body)
    if isinstance(body, str):
        raise TypeError(
            'a body is bytes, not str; encode it first, for example text.encode("utf-8")'
        )
    return memoryview(body).nbytes
