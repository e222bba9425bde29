"""HeadCollector: waits for the end of a head, or of trailers, that comes in parts.

It looks at each byte once, however small the parts are, and finds early what can't become a head:
for example LF without CR, which would never end it. A head is refused at the first byte that makes
it invalid, so the error is the same however the bytes are cut. Errors that only a whole head has
come after that, and belong to the head parser.
"""

from __future__ import annotations

from pybrpc.protocols.http1.errors import (
    HeadersTooLargeError,
    HttpParseError,
    MalformedHeadError,
)
from pybrpc.protocols.http1.grammar import MAX_METHOD_LENGTH, REQUEST_START, STRAY
from pybrpc.protocols.http1.head import url_too_long
from pybrpc.protocols.http1.head_parser import check_request_line, check_status_line
from pybrpc.protocols.http1.options import ParserOptions

MAX_EMPTY_LINES = 8
"""Empty lines before a request, which are skipped. RFC 9112, 2.2."""

_LINE_OVERHEAD = 64
"""More than method, version and blanks of a request line have together."""


class HeadCollector:
    """Collects a block of lines with the empty line at its end, for a server or a client.

    `max_bytes` limits the block. Not thread-safe.
    """

    __slots__ = ("_data", "_empty_lines", "_is_line_checked", "_is_server", "_max", "_options")

    def __init__(self, is_server: bool, options: ParserOptions) -> None:
        self._is_server = is_server
        self._options = options
        self._max = options.max_header_bytes
        self._data = bytearray()
        self._is_line_checked = False
        self._empty_lines = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of a block that is not whole."""
        return len(self._data)

    def add(self, part: bytes) -> int:
        """Take the next bytes. Return how many of them follow the block, once it is whole: `take`
        has it then; -1 if it is not. Raises an HttpParseError."""
        data = self._data
        before = max(0, len(data) - 3)
        data += part
        if self._is_server and not self._is_line_checked and data[0] == 13:
            self._skip_empty_lines()
            before = 0
            if not data or data == b"\r":
                return -1
        end = data.find(b"\r\n\r\n", before)
        size = len(data) if end < 0 else end + 4
        self._check(before, size)
        return -1 if end < 0 else len(data) - size

    def take(self, rest: int) -> bytes:
        """The whole block; `rest` bytes behind it are dropped. The next one may follow."""
        data = self._data
        block = bytes(data[: len(data) - rest])
        data.clear()
        self._is_line_checked = False
        self.begin()
        return block

    def begin(self) -> None:
        """A message was taken, by `take` or without this collector: another one may follow."""
        self._empty_lines = 0

    def _skip_empty_lines(self) -> None:
        data = self._data
        while data.startswith(b"\r\n"):
            del data[:2]
            self._empty_lines += 1
            if self._empty_lines > MAX_EMPTY_LINES:
                raise MalformedHeadError("empty lines instead of a request")

    def _check(self, before: int, size: int) -> None:
        """Check the first `size` bytes, those up to `before` having been checked."""
        data = self._data
        seen = min(size, self._max)
        found = STRAY.search(data, before, seen)
        stray = seen if found is None else found.start()
        if not self._is_line_checked:
            self._check_start(before, stray, seen)
        if found is not None:
            raise MalformedHeadError("NUL, or CR or LF alone, in a head")
        if size > self._max:
            raise self._too_large()

    def _check_start(self, before: int, stray: int, seen: int) -> None:
        """Check the start line, or what has come of it. `stray` is the index of a byte that belongs
        to no line."""
        data = self._data
        if not self._may_begin(data[: MAX_METHOD_LENGTH + 1].decode("latin-1")):
            raise MalformedHeadError("it does not begin with a start line of HTTP")
        end = data.find(b"\r\n", before, seen)
        if self._is_server:
            longest = self._options.max_url_length + _LINE_OVERHEAD
            if min(end if end >= 0 else seen - 1, stray) > longest:
                raise url_too_long(self._options)
        if 0 <= end <= stray:
            line = data[:end].decode("latin-1")
            if self._is_server:
                check_request_line(line, self._options)
            else:
                check_status_line(line)
            self._is_line_checked = True

    def _may_begin(self, start: str) -> bool:
        if self._is_server:
            return REQUEST_START.fullmatch(start.rstrip("\r")) is not None
        return "HTTP/".startswith(start[:5])

    def _too_large(self) -> HttpParseError:
        if self._is_server and not self._is_line_checked:
            return url_too_long(self._options)
        return HeadersTooLargeError(f"a head has more than {self._max} bytes")


class TrailerCollector(HeadCollector):
    """Collects trailers, which may be no more than the empty line."""

    __slots__ = ()

    def __init__(self, options: ParserOptions) -> None:
        super().__init__(False, options)
        self._max = options.max_trailer_bytes + 2
        self._is_line_checked = True
        self._data += b"\r\n"

    def take(self, rest: int) -> bytes:
        return super().take(rest)[2:]
