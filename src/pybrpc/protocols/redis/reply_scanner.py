"""ReplyScanner: finds where replies end, and what must not be parsed, before they are parsed.

hiredis turns replies into Python objects at 50 ns an element, but it believes what it reads: at the
header of an array that declares 2^31 elements it allocates 16 GiB and clears them, which takes
seconds; it nests 4000 deep; and an attribute (RESP3 "|") counts as a reply of its own, after which
every later reply would go to the wrong caller. So it is given whole replies only, which this walk
over the headers has measured and found within the limits. It takes 0.3 us an element, little
beside the tens of microseconds of a call.

Specification: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

from pybrpc.iobuf import IOBuf

MAX_DEPTH = 128
"""How deep arrays may nest; the default of C++ bRPC's `-redis_max_reply_depth`."""

MAX_ELEMENTS = 4 * 1024 * 1024
"""How many elements one reply may declare, at all depths together. Objects take up to 80 bytes for
the 4 bytes of an empty array on the wire, so the limit of bytes alone would not bound memory."""

MAX_LINE_BYTES = 64 * 1024
"""A status, error or number; what is longer comes as a bulk string."""

ATTRIBUTE, PUSH = ord("|"), ord(">")

_LINES = frozenset(b"+-:_#,(")
_BULKS = frozenset(b"$=!")
_PAIRS = frozenset(b"%|")
_AGGREGATES = frozenset(b"*~>%|")
_KINDS = _LINES | _BULKS | _AGGREGATES

Item = tuple[int, int]
"""The type byte of a whole reply, push or attribute, and its size in bytes."""


class MalformedReplyError(Exception):
    """The bytes are no reply, or one over a limit; nothing after them can be understood."""


class ReplyScanner:
    """The walk over the replies of one connection. It goes on where it stopped."""

    __slots__ = ("_at", "_elements", "_kind", "_left", "_max_bytes", "_outer")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._begin_item()

    def scan(self, buffer: IOBuf, at_most: int) -> list[Item]:
        """The whole items at the front of `buffer`, which the caller removes before the next scan;
        not more than `at_most`, attributes not counted.

        MalformedReplyError once one is wrong or over a limit and those before it were given.
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
        """How many bytes the string that is being received lacks; 0 if that is not known."""
        return max(0, self._at - len(buffer))

    def _begin_item(self) -> None:
        self._at = 0
        self._kind = 0
        self._left = 1
        self._elements = 0
        self._outer: list[int] = []

    def _walk(self, data: bytes, items: list[Item], at_most: int) -> None:
        """Go on where the last walk stopped, with what lies behind that place."""
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
        """How many elements follow the header of an aggregate."""
        kind = header[0]
        if kind not in _AGGREGATES:
            raise MalformedReplyError(f"no reply of Redis starts with {header[:16]!r}")
        if self._outer and kind in (PUSH, ATTRIBUTE):
            raise MalformedReplyError(f"{header[:16]!r} inside a reply")
        count = max(0, int(header[1:])) * (2 if kind in _PAIRS else 1)
        self._elements += count
        if self._elements > MAX_ELEMENTS:
            raise MalformedReplyError(
                f"a reply declares {self._elements} elements, more than {MAX_ELEMENTS}"
            )
        if len(self._outer) >= MAX_DEPTH:
            raise MalformedReplyError(f"a reply nests deeper than {MAX_DEPTH}")
        return count

    def _check_rest(self, rest: bytes) -> None:
        """A header of which the end has not come."""
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
    return MalformedReplyError(f"the size of a reply is no number: {reason}")
