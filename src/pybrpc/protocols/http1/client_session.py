"""HttpClientSession: the responses in what a client's connection has received, without any I/O.

A client calls `expect` for each request, in the step that turns it into bytes. The response then is
one WholeResponse; or, if its body is to be read as it comes, a ResponseBegin, any number of
BodyParts and a BodyEnd. Interim responses (1xx) are skipped.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, TypeAlias

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.http1.errors import BodyTooLargeError, HttpParseError
from pybrpc.protocols.http1.head import MessageEnd, RequestHead, ResponseHead
from pybrpc.protocols.http1.headers import HttpHeaders
from pybrpc.protocols.http1.options import ParserOptions
from pybrpc.protocols.http1.parser import Event, ResponseParser
from pybrpc.protocols.protocol import Broken, ParseLimits
from pybrpc.protocols.session import Session

MAX_INTERIM = 100
"""Interim responses to one request, without "100 Continue"; a server that sends more is up to no
good."""
MAX_CONTINUES = 10_000
"""As many "100 Continue": C++ bRPC sends one for each piece of a body that it reads."""

_EXPECTED_BYTES = 100
"""Memory of a request that waits for its response."""


@dataclass(frozen=True)
class WholeResponse:
    """A response with all of its body, as it was sent: chunks are joined, nothing is
    decompressed."""

    head: ResponseHead
    body: IOBuf
    trailers: HttpHeaders | None = None


@dataclass(frozen=True, slots=True)
class ResponseBegin:
    """The head of a response whose body follows in parts."""

    head: ResponseHead


@dataclass(frozen=True, slots=True)
class BodyPart:
    """A part of the body of the last ResponseBegin; not empty."""

    data: IOBuf


@dataclass(frozen=True, slots=True)
class BodyEnd:
    """The end of the body of the last ResponseBegin."""

    trailers: HttpHeaders | None = None


@dataclass(frozen=True, slots=True)
class OversizedResponse:
    """A response whose body is longer than max_body_size. Nothing after it can be parsed."""

    reason: str


HttpMessage: TypeAlias = WholeResponse | ResponseBegin | BodyPart | BodyEnd | OversizedResponse


class HttpClientSession(Session):
    """Cuts the responses of one connection. The reader calls it in turns, and `expect` is called
    with the write right, perhaps at the same time.

    has_begun  whether a byte has come of the response that is awaited
    """

    __slots__ = (
        "_body",
        "_continues",
        "_head",
        "_interim",
        "_is_progressive",
        "_parser",
        "has_begun",
    )

    def __init__(self, protocol: Any, limits: ParseLimits) -> None:
        super().__init__(protocol)
        self._parser = ResponseParser(ParserOptions(max_body_size=max(1, limits.max_body_size)))
        self._is_progressive: deque[bool] = deque()
        self._head: ResponseHead | None = None
        """That of the message whose end has not come."""
        self._body: IOBuf | None = None
        """The body of that message so far; `None` if its parts are given out as they come."""
        self._continues = self._interim = 0
        self.has_begun = False

    def expect(self, method: str, is_progressive: bool = False) -> None:
        """A request with this method is sent next. Before any of its bytes can leave."""
        self._is_progressive.append(is_progressive)
        self._parser.expect(method)

    def cut(self) -> list[Any]:
        messages: list[Any] = []
        if self.buffer and self.broken is None:
            self.has_begun = True
        while self.broken is None:
            events = self._parser.read(self.buffer)
            for event in events:
                self._on_event(event, messages)
            if self._parser.broken is not None:
                self._break(self._parser.broken, messages)
            if not events:
                break
        if self.broken is not None:
            self.buffer.clear()
        return messages

    def end(self) -> list[Any]:
        messages: list[Any] = []
        if self.broken is None:
            for event in self._parser.end():
                self._on_event(event, messages)
        return messages

    def bytes_wanted(self) -> int:
        """0 also for a body whose parts are given out as they come: little of it is read at once,
        as its reader may be slow."""
        return 0 if self._body is None else self._parser.bytes_wanted

    @property
    def held_bytes(self) -> int:
        body = 0 if self._body is None else len(self._body)
        return self._parser.held_bytes + body + _EXPECTED_BYTES * len(self._is_progressive)

    @property
    def unfinished_bytes(self) -> int:
        return len(self.buffer) + (0 if self._body is None else len(self._body))

    def _on_event(self, event: Event, messages: list[Any]) -> None:
        if isinstance(event, ResponseHead):
            self._begin(event, messages)
        elif isinstance(event, MessageEnd):
            self._finish(event, messages)
        elif self._body is None:
            assert not isinstance(event, RequestHead)
            messages.append(BodyPart(event))
        else:
            assert not isinstance(event, RequestHead)
            self._body.append(event)

    def _begin(self, head: ResponseHead, messages: list[Any]) -> None:
        self._head = head
        self._body = IOBuf()
        if head.is_interim:
            self._count_interim(head.status)
        elif self._is_progressive.popleft():
            self._body = None
            self._parser.lift_body_limit()
            messages.append(ResponseBegin(head))

    def _count_interim(self, status: int) -> None:
        if status == 100:
            self._continues += 1
        else:
            self._interim += 1
        if self._interim > MAX_INTERIM:
            self.broken = Broken(f"more than {MAX_INTERIM} interim responses to one request")
        elif self._continues > MAX_CONTINUES:
            self.broken = Broken(f"more than {MAX_CONTINUES} times 100 Continue to one request")

    def _finish(self, end: MessageEnd, messages: list[Any]) -> None:
        head, self._head = self._head, None
        body, self._body = self._body, None
        assert head is not None
        if head.is_interim:
            return
        self._continues = self._interim = 0
        self.has_begun = False
        if body is None:
            messages.append(BodyEnd(end.trailers))
        else:
            messages.append(WholeResponse(head, body, end.trailers))

    def _break(self, error: HttpParseError, messages: list[Any]) -> None:
        if isinstance(error, BodyTooLargeError):
            messages.append(OversizedResponse(str(error)))
        self._body = None
        self.broken = Broken(f"{self.name or 'http'}: {error}")
