"""RequestParser and ResponseParser: the messages of HTTP/1.0 and 1.1 in the received bytes.

A parser belongs to one connection and does no I/O. `read` takes bytes off the receive buffer and
returns events: the head of a message, parts of its body, its end. It does not go beyond the end of
a message: so pipelined requests, and what follows an Upgrade, remain in the buffer.

    head = RequestHead | ResponseHead, then any number of IOBufs, then MessageEnd

Bytes may come in any pieces: heads, ends and bodies are the same, and so is the error, if there is
one. The time that `read` takes grows with the number of bytes, not with its square.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Any, TypeAlias

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.http1.body_readers import BodyReader, ChunkedBody, CloseBody, LengthBody
from pybrpc.protocols.http1.errors import (
    BodyTooLargeError,
    HttpParseError,
    IncompleteMessageError,
    UnexpectedResponseError,
)
from pybrpc.protocols.http1.head import END, MessageEnd, RequestHead, ResponseHead
from pybrpc.protocols.http1.head_collector import HeadCollector
from pybrpc.protocols.http1.head_parser import PATTERN_HEAD_PARSER, HeadParser
from pybrpc.protocols.http1.options import DEFAULT_OPTIONS, ParserOptions

Event: TypeAlias = RequestHead | ResponseHead | IOBuf | MessageEnd

MAX_EXPECTED = 100_000
"""Requests of one connection that may wait for their responses."""

MAX_KEPT_BLOCK = 2048
"""The last head is kept up to this length, in bytes."""

_NO_LIMIT = sys.maxsize
"""The most that `IOBuf.cutn` takes."""
_WINDOW = 2048


class MessageParser:
    """The base class of both parsers. For one thread at a time; no method blocks.

    broken  the HttpParseError that says what is wrong with the bytes, once that is known; nothing
            is parsed any more then, and `read` drops what still comes
    """

    __slots__ = (
        "_body",
        "_collector",
        "_head_parser",
        "_is_closed",
        "_is_server",
        "_keeps",
        "_limit",
        "_options",
        "broken",
    )

    def __init__(self, is_server: bool, options: ParserOptions, head_parser: HeadParser) -> None:
        self.broken: HttpParseError | None = None
        self._is_server = is_server
        self._options = options
        self._head_parser = head_parser
        self._collector = HeadCollector(is_server, options)
        self._body: BodyReader | None = None
        self._limit = options.max_body_size
        self._keeps = True
        self._is_closed = False

    def read(self, buffer: IOBuf) -> list[Event]:
        """Take bytes off `buffer`; return the events that they complete, at most to the end of one
        message. Call it again while it returns any. No bytes of a peer make it raise.

        After a message that the connection is not kept for, the next call drops the rest.
        """
        events: list[Event] = []
        if self.broken is not None or self._is_closed:
            buffer.clear()
            return events
        try:
            if self._body is None and buffer:
                head = self._read_head(buffer)
                if head is not None:
                    events.append(head)
                    self._begin_body(head, buffer, events)
            if self._body is not None:
                self._read_body(buffer, self._body, events)
        except HttpParseError as error:
            self.broken = error
            buffer.clear()
        return events

    def end(self) -> list[Event]:
        """The peer has ended the stream of its bytes, and `read` returns no more: return the end of
        a message that this completes. Inside another message, `broken` is set."""
        events: list[Event] = []
        if self.broken is None and not self._is_closed:
            if isinstance(self._body, CloseBody):
                self._end_message(events, END)
            elif self.is_inside:
                self.broken = IncompleteMessageError("the connection ended inside a message")
        self._is_closed = True
        return events

    def lift_body_limit(self) -> None:
        """Accept a body of any length for the message whose head was returned last: its user takes
        the parts as they come. To be called before the next `read`."""
        if self._body is not None:
            self._limit = _NO_LIMIT

    @property
    def is_inside(self) -> bool:
        """Whether a part of a message has come."""
        return self._body is not None or self._collector.held_bytes > 0

    @property
    def is_in_body(self) -> bool:
        """Whether a head was returned, and the end of its message was not."""
        return self._body is not None

    @property
    def is_closed(self) -> bool:
        """Whether no further message is parsed: the last one said so, or the connection ended."""
        return self._is_closed

    @property
    def bytes_wanted(self) -> int:
        """Bytes that the body or the chunk still needs; 0 if unknown."""
        return 0 if self._body is None else self._body.bytes_wanted

    @property
    def held_bytes(self) -> int:
        """Memory beside the receive buffer, in bytes: at most a head, or trailers."""
        body = 0 if self._body is None else self._body.held_bytes
        return self._collector.held_bytes + body

    def __repr__(self) -> str:
        state = "in a body" if self._body is not None else "in a head" if self.is_inside else "idle"
        if self.broken is not None:
            state = f"broken: {self.broken}"
        elif self._is_closed:
            state = "closed"
        return f"<{type(self).__name__} {state}>"

    # For subclasses

    def _parse_head(self, block: bytes) -> RequestHead | ResponseHead:
        raise NotImplementedError

    def _body_of(self, head: Any) -> BodyReader | None:
        """The reader of the body that follows a head of `_parse_head`; None without a body."""
        raise NotImplementedError

    # Within

    def _read_head(self, buffer: IOBuf) -> RequestHead | ResponseHead | None:
        collector = self._collector
        if not collector.held_bytes:
            window = buffer.peek(min(_WINDOW, len(buffer)))
            end = window.find(b"\r\n\r\n") + 4
            if 4 < end <= self._options.max_header_bytes and window[0] != 13:
                return self._parse_whole(buffer, window[:end])
        while buffer:
            part = buffer.peek(min(_WINDOW, len(buffer)))
            rest = collector.add(part)
            buffer.pop_front(len(part) - max(0, rest))
            if rest >= 0:
                return self._parse_head(collector.take(rest))
        return None

    def _parse_whole(self, buffer: IOBuf, block: bytes) -> RequestHead | ResponseHead:
        try:
            head = self._parse_head(block)
        except HttpParseError:
            # An error that is seen earlier if the head comes in parts.
            self._collector.add(block)
            raise
        buffer.pop_front(len(block))
        self._collector.begin()
        return head

    def _begin_body(
        self, head: RequestHead | ResponseHead, buffer: IOBuf, events: list[Event]
    ) -> None:
        body = self._body_of(head)
        self._limit = min(self._options.max_body_size, _NO_LIMIT)
        self._keeps = head.keep_alive
        if body is None:
            self._end_message(events, END)
        elif type(body) is LengthBody and body.bytes_wanted <= min(len(buffer), self._limit):
            events.append(buffer.cutn(body.bytes_wanted))
            self._end_message(events, END)
        else:
            self._body = body

    def _read_body(self, buffer: IOBuf, body: BodyReader, events: list[Event]) -> None:
        part = IOBuf()
        try:
            is_over = body.read(buffer, part, self._limit)
        finally:
            if part:
                events.append(part)
        if is_over:
            trailers = body.trailers
            self._end_message(events, END if trailers is None else MessageEnd(trailers))
        elif body.declared_bytes > self._limit and not events:
            raise BodyTooLargeError(f"a body is longer than max_body_size={self._limit}")

    def _end_message(self, events: list[Event], end: MessageEnd) -> None:
        events.append(end)
        self._body = None
        self._is_closed = not self._keeps


class RequestParser(MessageParser):
    """Parses the requests that a server receives. Heads are not to be changed: the next request
    with the same head has the same one."""

    __slots__ = ("_last_block", "_last_head")

    def __init__(
        self,
        options: ParserOptions = DEFAULT_OPTIONS,
        head_parser: HeadParser = PATTERN_HEAD_PARSER,
    ) -> None:
        super().__init__(True, options, head_parser)
        self._last_block = b""
        self._last_head: RequestHead | None = None

    def _parse_head(self, block: bytes) -> RequestHead:
        """The same object for the same bytes, if nothing else came in between."""
        if block == self._last_block and self._last_head is not None:
            return self._last_head
        head = self._head_parser.parse_request_head(block, self._options)
        if len(block) <= MAX_KEPT_BLOCK:
            self._last_block, self._last_head = block, head
        return head

    def _begin_body(self, head: Any, buffer: IOBuf, events: list[Event]) -> None:
        """As in the base class; most bodies have come with their heads."""
        size = 0 if head.content_length is None else head.content_length
        if head.is_chunked or size > min(len(buffer), self._options.max_body_size):
            MessageParser._begin_body(self, head, buffer, events)
            return
        self._keeps = head.keep_alive
        if size:
            events.append(buffer.cutn(size))
        self._end_message(events, END)

    def _body_of(self, head: RequestHead) -> BodyReader | None:
        if head.is_chunked:
            return ChunkedBody(self._options)
        return LengthBody(head.content_length) if head.content_length else None


class ResponseParser(MessageParser):
    """Parses the responses that a client receives, in the order of its requests.

    A client calls `expect` for each request that it sends, before the response may come.
    """

    __slots__ = ("_expected",)

    def __init__(
        self,
        options: ParserOptions = DEFAULT_OPTIONS,
        head_parser: HeadParser = PATTERN_HEAD_PARSER,
    ) -> None:
        super().__init__(False, options, head_parser)
        self._expected: deque[str] = deque()

    def expect(self, method: str) -> None:
        """A request with this method is sent next: the response to HEAD has no body. ValueError if
        more than MAX_EXPECTED responses are missing."""
        if len(self._expected) >= MAX_EXPECTED:
            raise ValueError(f"more than {MAX_EXPECTED} requests wait for responses")
        self._expected.append(method)

    @property
    def expected_count(self) -> int:
        """Responses that are missing, without the one whose head was returned last."""
        return len(self._expected)

    def _parse_head(self, block: bytes) -> ResponseHead:
        head = self._head_parser.parse_response_head(block, self._options)
        if not self._expected:
            raise UnexpectedResponseError(f"a response {head.status} that no request has asked for")
        return head

    def _body_of(self, head: ResponseHead) -> BodyReader | None:
        if head.is_interim:
            head.keep_alive = True
            return None
        method, status = self._expected.popleft(), head.status
        if status == 101 or (method == "CONNECT" and 200 <= status < 300):
            head.keep_alive = False
            return None
        if method == "HEAD" or status in (204, 304):
            return None
        if head.is_chunked:
            return ChunkedBody(self._options)
        if head.content_length is not None:
            return LengthBody(head.content_length) if head.content_length else None
        head.keep_alive = False
        return CloseBody()
