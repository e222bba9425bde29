"""ReplyScanner: finds the ends of replies, and checks their limits, before they are parsed.

hiredis converts replies to Python objects in 50 ns per element, but it trusts the bytes. For an
array that declares 2^31 elements it allocates and clears 16 GiB, which takes seconds; it allows
4000 levels of nesting; and it counts an attribute (RESP3 "|") as a reply of its own, after which
every later reply would go to the wrong caller. So hiredis gets only complete replies whose headers
were read here and are within the limits. This takes 0.3 us per element, little beside the tens of
microseconds of a call.

Specification: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

from pybrpc.iobuf import IOBuf

MAX_DEPTH = 128
"""The deepest nesting of arrays; the default of C++ bRPC's `-redis_max_reply_depth`."""

MAX_ELEMENTS = 4 * 1024 * 1024
"""The most elements that one reply may declare, on all levels together. An empty array has 4 bytes
on the wire and becomes an object of up to 80 bytes, so a limit of bytes alone would not limit
memory."""

MAX_LINE_BYTES = 64 * 1024
"""The longest status, error or number; longer texts are sent as bulk strings."""

ATTRIBUTE, PUSH = ord("|"), ord(">")

_LINES = frozenset(b"+-:_#,(")
_BULKS = frozenset(b"$=!")
_PAIRS = frozenset(b"%|")
_AGGREGATES = frozenset(b"*~>%|")
_KINDS = _LINES | _BULKS | _AGGREGATES

Item = tuple[int, int]
"""The type byte of a complete reply, push or attribute, and its size in bytes."""


class MalformedReplyError(Exception):
    """The bytes are no reply, or a reply over a limit; nothing after them can be parsed."""


class ReplyScanner:
    """Scans the replies of one connection. Each scan continues where the last one stopped."""

    __slots__ = ("_at", "_elements", "_kind", "_left", "_max_bytes", "_outer")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._begin_item()

    def scan(self, buffer: IOBuf, at_most: int) -> list[Item]:
        """The complete items at the front of `buffer`, at most `at_most` without attributes. The
        caller must remove them from the buffer before the next scan.

        MalformedReplyError if the first item is malformed or over a limit.
        """
        items: list[Item] = []
        if self._at > len(buffer) or not buffer:
            return items
        try:
            self._walk(buffer.peek(None, self._at), items, at_most)
        except (MalformedReplyError, ValueError) as reason:
            if not items:
                raise _as_malformed(reason) from None
            self._begin_item()
        return items

    def bytes_wanted(self, buffer: IOBuf) -> int:
        """The number of bytes that the string at the end of `buffer` lacks; 0 if unknown."""
        return max(0, self._at - len(buffer))

    def _begin_item(self) -> None:
        self._at = 0
        self._kind = 0
        self._left = 1
        self._elements = 0
        self._outer: list[int] = []

    def _walk(self, data: bytes, items: list[Item], at_most: int) -> None:
        """Scan `data`, the bytes behind the place where the last scan stopped."""
        start, at, available = -self._at, 0, len(data)
        left, outer = self._left, self._outer
        while True:
            if not left:
                if at > available:
                    break
                self._check_size(at - start)
                items.append((self._kind, at - start))
                start, left, self._elements = at, 1, 0
                at_most -= self._kind != ATTRIBUTE
                if not at_most:
                    break
            end = data.find(b"\r\n", at, at + MAX_LINE_BYTES)
            if end < 0:
                self._check_rest(data[at : at + MAX_LINE_BYTES])
                self._check_size(available - start)
                break
            kind = data[at]
            if not outer:
                self._kind = kind
            if kind in _BULKS:
                size = int(data[at + 1 : end])
                at = end + 2 + (size + 2 if size >= 0 else 0)
            elif kind in _LINES:
                at = end + 2
            else:
                count = self._count(data[at : end + 2])
                at = end + 2
                if count:
                    outer.append(left)
                    left = count
                    continue
            left -= 1
            while not left and outer:
                left = outer.pop() - 1
        self._check_size(at - start)
        self._at = at - start
        self._left = left

    def _count(self, header: bytes) -> int:
        """The number of elements after the header of an aggregate."""
        kind = header[0]
        if kind not in _AGGREGATES:
            raise MalformedReplyError(f"no reply of Redis starts with {header[:16]!r}")
        if self._outer and kind in (PUSH, ATTRIBUTE):
            raise MalformedReplyError(f"{header[:16]!r} is invalid inside a reply")
        count = max(0, int(header[1:])) * (2 if kind in _PAIRS else 1)
        self._elements += count
        if self._elements > MAX_ELEMENTS:
            raise MalformedReplyError(
                f"a reply declares {self._elements} elements, more than {MAX_ELEMENTS}"
            )
        if len(self._outer) >= MAX_DEPTH:
            raise MalformedReplyError(f"a reply is nested deeper than {MAX_DEPTH} levels")
        return count

    def _check_rest(self, rest: bytes) -> None:
        """Check an incomplete header."""
        if len(rest) >= MAX_LINE_BYTES:
            raise MalformedReplyError(f"a line of a reply is longer than {MAX_LINE_BYTES} bytes")
        if rest and rest[0] not in _KINDS:
            raise MalformedReplyError(f"no reply of Redis starts with {rest[:16]!r}")

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            raise MalformedReplyError(
                f"a reply of at least {size_bytes} bytes is larger than "
                f"max_body_size={self._max_bytes}"
            )


def _as_malformed(reason: Exception) -> MalformedReplyError:
    if isinstance(reason, MalformedReplyError):
        return reason
    return MalformedReplyError(f"the size of a reply is not a number: {reason}")
