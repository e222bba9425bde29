"""HttpServerSession: the requests of one connection, as heads, parts of bodies, and ends.

Bodies are not collected here: who gets the parts decides, when the head has come, whether they are
collected, taken one by one, or refused. So bodies have no limit here either.
"""

from __future__ import annotations

from typing import Any

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.http1.head import MessageEnd
from pybrpc.protocols.http1.options import ParserOptions
from pybrpc.protocols.http1.parser import RequestParser
from pybrpc.protocols.protocol import Broken, ParseLimits
from pybrpc.protocols.session import Session

_NO_LIMIT = 1 << 62
_OPTIONS = ParserOptions(max_body_size=_NO_LIMIT)

MAX_ENDS = 32
"""Requests that one `cut` completes at most. To admit so many takes about as long as a connection
may keep others waiting elsewhere, half a millisecond if compiled, and more would not join more of
their responses: others come in between."""

HEAD_BYTES = 1024
"""Memory of a head that was parsed, beside its text, in bytes."""


class HttpServerSession(Session):
    """`cut` returns events: RequestHead, IOBufs, MessageEnd; at last an HttpParseError, if what
    comes next can't be understood. It has to be answered, in its turn, before the end.

    collected_bytes  bytes of the request whose end has not come that were given out and are still
                     held: set by the one who collects them
    unfinished_mark  number of requests whose ends, or parts that are not collected, were given out
    is_raw           whether another protocol has taken over: bytes are given out as they come
    """

    __slots__ = ("_parser", "collected_bytes", "is_raw", "unfinished_mark")

    def __init__(self, protocol: Any, limits: ParseLimits) -> None:
        super().__init__(protocol)
        self._parser = RequestParser(_OPTIONS)
        self.collected_bytes = 0
        self.unfinished_mark = 0
        self.is_raw = False

    def cut(self) -> list[Any]:
        events: list[Any] = []
        self.has_more = False
        if self.is_raw:
            data = IOBuf()
            data.swap(self.buffer)
            return [data] if data else []
        parser = self._parser
        ends = 0
        while self.buffer and self.broken is None:
            found = parser.read(self.buffer)
            if parser.broken is not None:
                events += found
                events.append(parser.broken)
                self.broken = Broken(str(parser.broken))
                break
            if not found:
                break
            events += found
            if type(found[-1]) is MessageEnd:
                ends += 1
                if ends >= MAX_ENDS and self.buffer:
                    self.has_more = True
                    break
        self.unfinished_mark += ends
        return events

    def end(self) -> list[Any]:
        events: list[Any] = [] if self.is_raw else self._parser.end()
        return events

    def bytes_wanted(self) -> int:
        return 0 if self.is_raw else self._parser.bytes_wanted

    @property
    def is_in_head(self) -> bool:
        """Whether a part of a head has come, and its end has not."""
        return not self.is_raw and not self._parser.is_in_body and self.unfinished_bytes > 0

    @property
    def is_in_body(self) -> bool:
        """Whether a head was given out, and the end of its request was not."""
        return self._parser.is_in_body

    @property
    def is_ordered(self) -> bool:
        return True

    @property
    def held_bytes(self) -> int:
        return 0 if self.is_raw else self._parser.held_bytes + self.collected_bytes

    @property
    def unfinished_bytes(self) -> int:
        return self.held_bytes + (0 if self.has_more else len(self.buffer))
