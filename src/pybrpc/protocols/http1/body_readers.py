"""LengthBody, CloseBody and ChunkedBody: they cut a body off the received bytes. RFC 9112, 6 and 7.

A part of a body is an IOBuf with the blocks of the receive buffer: its bytes are not copied, or
once if there are few of them (`IOBuf.cutn`). Only chunks below SMALL_CHUNK bytes are joined.

    read(buffer, into, limit)  take bytes off `buffer`, and add those of the body to `into`; True at
                               the end of the body. No byte beyond `limit` is taken: after False,
                               `declared_bytes` may be above it.
    declared_bytes             bytes of the body that have come, or were announced
    bytes_wanted               bytes that are known to be missing; 0 if unknown
"""

from __future__ import annotations

import re
from typing import Protocol

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.http1.errors import MalformedChunkError
from pybrpc.protocols.http1.head_collector import TrailerCollector
from pybrpc.protocols.http1.head_parser import parse_trailers
from pybrpc.protocols.http1.headers import HttpHeaders
from pybrpc.protocols.http1.options import ParserOptions

SMALL_CHUNK = 256
"""Bytes. Chunks below this are joined: an object for each would take more memory than a copy."""

_WINDOW = 4096
_SHORT_LINE = 20

_VALUE = rb"[^\0-\x08\n-\x1f\x7f]"
_EXTENSION = rb"(?:[ \t]*+;" + _VALUE + rb"*+)?"
_LINE = re.compile(rb"([0-9A-Fa-f]{1,16}+)" + _EXTENSION)
_LINE_START = re.compile(rb"[0-9A-Fa-f]{1,16}+(?:\r|[ \t;].*)?", re.DOTALL)
"""Anything that may go on as such a line."""

_PLAIN_LINE = re.compile(rb"([0-9A-Fa-f]{1,16}+)\r\n")

_IN_LINE, _IN_DATA, _AFTER_DATA, _IN_TRAILERS = range(4)


class BodyReader(Protocol):
    """The interface of this module's classes; see there."""

    declared_bytes: int
    trailers: HttpHeaders | None

    @property
    def bytes_wanted(self) -> int: ...

    @property
    def held_bytes(self) -> int:
        """Memory beside the receive buffer, in bytes."""

    def read(self, buffer: IOBuf, into: IOBuf, limit: int) -> bool: ...


class LengthBody:
    """A body with a Content-Length."""

    __slots__ = ("bytes_wanted", "declared_bytes", "trailers")

    held_bytes = 0

    def __init__(self, size: int) -> None:
        self.declared_bytes = size
        self.bytes_wanted = size
        self.trailers: HttpHeaders | None = None

    def read(self, buffer: IOBuf, into: IOBuf, limit: int) -> bool:
        if self.declared_bytes > limit:
            return False
        part = buffer.cutn(self.bytes_wanted)
        self.bytes_wanted -= len(part)
        into.append(part)
        return not self.bytes_wanted


class CloseBody:
    """A body of a response that ends with the connection."""

    __slots__ = ("_received", "declared_bytes", "trailers")

    held_bytes = 0
    bytes_wanted = 0

    def __init__(self) -> None:
        self._received = 0
        self.declared_bytes = 0
        self.trailers: HttpHeaders | None = None

    def read(self, buffer: IOBuf, into: IOBuf, limit: int) -> bool:
        part = buffer.cutn(max(0, limit - self._received))
        self._received += len(part)
        self.declared_bytes = self._received + len(buffer)
        into.append(part)
        return False


class ChunkedBody:
    """A body in chunks; `trailers` are those after the last chunk."""

    __slots__ = (
        "_collector",
        "_extension_bytes",
        "_left",
        "_line",
        "_options",
        "_state",
        "declared_bytes",
        "trailers",
    )

    def __init__(self, options: ParserOptions) -> None:
        self.declared_bytes = 0
        self.trailers: HttpHeaders | None = None
        self._options = options
        self._state = _IN_LINE
        self._left = 0
        self._extension_bytes = 0
        self._line = bytearray()
        """The line before a chunk, as far as it has come."""
        self._collector: TrailerCollector | None = None

    @property
    def bytes_wanted(self) -> int:
        return self._left + 2 if self._left else 0

    @property
    def held_bytes(self) -> int:
        return len(self._line) if self._collector is None else self._collector.held_bytes

    def read(self, buffer: IOBuf, into: IOBuf, limit: int) -> bool:
        """Raises an HttpParseError if the chunks are malformed."""
        while buffer:
            state = self._state
            if state == _IN_TRAILERS:
                return self._read_trailers(buffer)
            if state == _IN_LINE:
                if not self._read_line(buffer, into, limit):
                    return False
            elif state == _AFTER_DATA:
                if not self._read_line_end(buffer):
                    return False
            elif self.declared_bytes > limit:
                return False
            else:
                part = buffer.cutn(self._left)
                self._left -= len(part)
                into.append(part)
                if not self._left:
                    self._state = _AFTER_DATA
        return False

    def _read_line(self, buffer: IOBuf, into: IOBuf, limit: int) -> bool:
        """Read the line before a chunk; False if it is not whole."""
        found = None if self._line else _PLAIN_LINE.match(buffer.peek(_SHORT_LINE))
        if found is None:
            return self._read_long_line(buffer)
        size = int(found[1], 16)
        if size and size < SMALL_CHUNK and self._take_small_chunks(buffer, into, limit):
            return True
        buffer.pop_front(found.end())
        self._begin_chunk(size)
        return True

    def _begin_chunk(self, size: int) -> None:
        self.declared_bytes += size
        self._left = size
        if size:
            self._state = _IN_DATA
        else:
            self._state = _IN_TRAILERS
            self._collector = TrailerCollector(self._options)

    def _take_small_chunks(self, buffer: IOBuf, into: IOBuf, limit: int) -> bool:
        """Take the small chunks that are whole at the front; False if none is."""
        window = buffer.peek(_WINDOW)
        pieces: list[bytes] = []
        at, room = 0, limit - self.declared_bytes
        while (found := _PLAIN_LINE.match(window, at)) is not None:
            size = int(found[1], 16)
            begin = found.end()
            end = begin + size
            room -= size
            is_small = 0 < size < SMALL_CHUNK and room >= 0
            if not is_small or window[end : end + 2] != b"\r\n":
                break
            pieces.append(window[begin:end])
            at = end + 2
        if not pieces:
            return False
        joined = b"".join(pieces)
        self.declared_bytes += len(joined)
        into.append_received(joined)
        buffer.pop_front(at)
        return True

    def _read_long_line(self, buffer: IOBuf) -> bool:
        """Read a line with extensions, or what has come of a line; False if it is not whole."""
        line, longest = self._line, self._options.max_chunk_line_bytes
        before = max(0, len(line) - 1)
        part = buffer.peek(longest + 2 - len(line))
        line += part
        end = line.find(b"\r\n", before)
        buffer.pop_front(len(part) - (0 if end < 0 else len(line) - end - 2))
        if end < 0:
            if len(line) > longest + 1:
                raise MalformedChunkError(f"the line of a chunk has more than {longest} bytes")
            if before < _SHORT_LINE and not _LINE_START.fullmatch(line[:_SHORT_LINE]):
                raise MalformedChunkError("a chunk does not begin with its size")
            return False
        found = _LINE.fullmatch(line, 0, end)
        if found is None:
            raise MalformedChunkError("a chunk does not begin with its size")
        self._extension_bytes += end - found.end(1)
        if self._extension_bytes > self._options.max_chunk_extension_bytes:
            limit = self._options.max_chunk_extension_bytes
            raise MalformedChunkError(f"chunk extensions have more than {limit} bytes")
        self._begin_chunk(int(found[1], 16))
        self._line = bytearray()
        return True

    def _read_line_end(self, buffer: IOBuf) -> bool:
        """Read the CRLF after the data of a chunk; False if it is not whole."""
        found = buffer.peek(2)
        if found == b"\r\n":
            buffer.pop_front(2)
            self._state = _IN_LINE
            return True
        if found != b"\r":
            raise MalformedChunkError("a chunk is longer than it says")
        return False

    def _read_trailers(self, buffer: IOBuf) -> bool:
        collector = self._collector
        while collector is not None and buffer:
            part = buffer.peek(_WINDOW)
            rest = collector.add(part)
            buffer.pop_front(len(part) - max(0, rest))
            if rest >= 0:
                self.trailers = parse_trailers(collector.take(rest), self._options)
                return True
        return False
