"""ReplyScanner: finds the ends of replies, and checks their limits, before they are parsed.

hiredis converts replies to Python objects in 50 ns per element, but it trusts the bytes. For an
array that declares 2^31 elements it allocates and clears 16 GiB, which takes seconds; it allows
4000 levels of nesting; it counts an attribute (RESP3 "|") as a reply of its own, or as an element
of the reply around it, after which all that follows would be misplaced; and it does not know blob
errors (RESP3 "!"). So hiredis gets only complete replies whose headers were read here and are
within the limits, and without these two. This takes 0.3 us per element, little beside the tens of
microseconds of a call.

A reply over a limit is skipped: its bytes are dropped as they come, and its caller gets an error in
its place. So it does not harm other callers of the connection, except that they wait until it has
passed. Only if it is larger by far, the connection can't be used any more.

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

MAX_LINE_BYTES = 1024 * 1024
"""The longest status, error or number; longer texts are sent as bulk strings. Error texts of
scripts may have any length."""

SKIPPED_FACTOR = 16
"""How many times a limit of bytes or elements a reply may have that is skipped."""

MIN_SKIPPED_BYTES = 64 * 1024 * 1024
"""A reply that is skipped may have as many bytes, even if `max_body_size` is small."""

MAX_SKIPPED_DEPTH = 64 * 1024
"""The deepest nesting of a reply that is skipped. It takes 8 bytes of memory a level."""

MAX_DIGITS = 64
"""The longest number in a header."""

ATTRIBUTE, PUSH, BLOB_ERROR = ord("|"), ord(">"), ord("!")

_LINES = frozenset(b"+-:_#,(")
_BULKS = frozenset(b"$=!")
_PAIRS = frozenset(b"%|")
_AGGREGATES = frozenset(b"*~>%|")
_KINDS = _LINES | _BULKS | _AGGREGATES

Span = tuple[int, int]
"""The first byte of a part, and the byte after it."""


Item = tuple[int, int, tuple[Span, ...], str]
"""A complete reply, push or attribute at the front of the buffer: its type byte; its size there in
bytes; the attributes and blob errors in it, which hiredis does not understand, in order; and the
reason why it was skipped, or "". If there is one, what is in the buffer is its rest."""


class MalformedReplyError(Exception):
    """The bytes are no reply, or one that is too large to be skipped; nothing after them can be
    parsed."""


class ReplyScanner:
    """Scans the replies of one connection. Each scan continues where the last one stopped.

    Without `skips` a reply over a limit is a MalformedReplyError.
    """

    __slots__ = (
        "_at",
        "_attribute_depth",
        "_attribute_start",
        "_dropped",
        "_elements",
        "_is_in_line",
        "_kind",
        "_left",
        "_max_bytes",
        "_odd_parts",
        "_outer",
        "_reason",
        "_searched",
        "_skips",
    )

    def __init__(self, max_bytes: int, skips: bool = True) -> None:
        self._max_bytes = max_bytes
        self._skips = skips
        self._begin_item()

    def scan(self, buffer: IOBuf, at_most: int) -> list[Item]:
        """The complete items at the front of `buffer`, at most `at_most` without attributes. The
        caller must remove them from the buffer before the next scan.

        What has come of an item over a limit is removed from the buffer, once that is its front.
        MalformedReplyError if the first item is malformed.
        """
        items: list[Item] = []
        self._drop_skipped(buffer)
        if self._at > len(buffer) or not (buffer or self._reason) or self._is_in_line_of(buffer):
            return items
        try:
            self._walk(buffer.peek(None, self._at), items, at_most)
        except (MalformedReplyError, ValueError) as reason:
            if not items:
                raise _as_malformed(reason) from None
            self._begin_item()
        if not items:
            self._drop_skipped(buffer)
        return items

    def bytes_wanted(self, buffer: IOBuf) -> int:
        """The number of bytes that the string at the end of `buffer` lacks; 0 if unknown."""
        return 0 if self._reason else max(0, self._at - len(buffer))

    def _begin_item(self) -> None:
        self._at = 0
        self._kind = 0
        self._left = 1
        self._elements = 0
        self._outer: list[int] = []
        self._odd_parts: tuple[Span, ...] = ()
        self._attribute_depth = -1
        self._attribute_start = 0
        self._is_in_line = False
        self._searched = 0
        self._dropped = 0
        self._reason = ""

    def _drop_skipped(self, buffer: IOBuf) -> None:
        """Drop what has come of the item at the front, if it is skipped."""
        if self._reason:
            count = buffer.pop_front(self._at)
            self._at -= count
            self._dropped += count

    def _is_in_line_of(self, buffer: IOBuf) -> bool:
        """Whether the line at the end of `buffer` goes on. Searches only what has come since the
        last scan: of a long line many parts may come."""
        end = len(buffer)
        if not self._searched or end - self._at >= MAX_LINE_BYTES or end > self._max_bytes:
            self._searched = 0
            return False
        if b"\r\n" in buffer.peek(None, self._at + self._searched - 1):
            self._searched = 0
            return False
        self._searched = end - self._at
        return True

    def _walk(self, data: bytes, items: list[Item], at_most: int) -> None:
        """Scan `data`, the bytes behind the place where the last scan stopped."""
        start, at, available = -self._at, 0, len(data)
        left, outer = self._left, self._outer
        while True:
            if not left:
                if at > available:
                    break
                self._check_size(at - start)
                items.append((self._kind, at - start, self._odd_parts, self._reason))
                self._elements = 0
                if self._odd_parts or self._reason:
                    self._odd_parts, self._reason, self._dropped = (), "", 0
                start, left = at, 1
                at_most -= self._kind != ATTRIBUTE
                if not at_most:
                    available = at
                    break
            end = data.find(b"\r\n", at, available if self._is_in_line else at + MAX_LINE_BYTES)
            if end < 0:
                self._check_size(available - start)
                if self._begins_long_line(data[at : at + MAX_LINE_BYTES]):
                    continue
                if self._is_in_line:
                    at = max(at, available - data.endswith(b"\r"))
                elif at < available and data[at] in _LINES:
                    self._searched = available - at
                break
            if self._is_in_line:
                self._is_in_line = False
                at = end + 2
                left -= 1
            else:
                kind = data[at]
                if not outer:
                    self._kind = kind
                if kind in _LINES:
                    at = end + 2
                elif kind in _BULKS:
                    size = _declared(data[at + 1 : end])
                    begin, at = at, end + 2 + (size + 2 if size >= 0 else 0)
                    if kind == BLOB_ERROR and self._attribute_depth < 0:
                        self._odd_parts += ((begin - start, at - start),)
                else:
                    left = self._open(data[at : end + 2], at - start, left)
                    at = end + 2
                left -= 1
            while not left and outer:
                left = outer.pop() - 1
                if len(outer) == self._attribute_depth:
                    self._attribute_depth = -1
                    self._odd_parts += ((self._attribute_start, at - start),)
        self._check_size(max(at, available) - start)
        self._at = at - start
        self._left = left

    def _open(self, header: bytes, begin: int, left: int) -> int:
        """Begin an aggregate, when `left` elements are left around it. Return those left in it, and
        one for itself."""
        count = self._count(header)
        outer = self._outer
        is_inside = header[0] == ATTRIBUTE and len(outer) > 0
        if is_inside and self._attribute_depth < 0:
            self._attribute_depth, self._attribute_start = len(outer), begin
        # An attribute is none of the elements between which it is.
        outer.append(left + is_inside)
        return count + 1

    def _count(self, header: bytes) -> int:
        """The number of elements after the header of an aggregate."""
        kind = header[0]
        if kind not in _AGGREGATES:
            raise MalformedReplyError(f"no reply of Redis starts with {header[:16]!r}")
        depth = len(self._outer)
        if depth and kind == PUSH:
            raise MalformedReplyError(f"{header[:16]!r} is invalid inside a reply")
        count = max(0, _declared(header[1:])) * (2 if kind in _PAIRS else 1)
        self._elements += count
        if self._elements > MAX_ELEMENTS:
            reason = f"a reply declares {self._elements} elements, more than {MAX_ELEMENTS}"
            if self._elements > SKIPPED_FACTOR * MAX_ELEMENTS:
                raise MalformedReplyError(reason)
            self._skip(reason)
        if depth >= MAX_SKIPPED_DEPTH:
            raise MalformedReplyError(f"a reply is nested deeper than {MAX_SKIPPED_DEPTH} levels")
        if depth >= MAX_DEPTH:
            self._skip(f"a reply is nested deeper than {MAX_DEPTH} levels")
        return count

    def _begins_long_line(self, rest: bytes) -> bool:
        """Check an incomplete header; whether it begins a line that is too long, or skipped."""
        if self._is_in_line or not rest:
            return False
        if rest[0] not in _KINDS:
            raise MalformedReplyError(f"no reply of Redis starts with {rest[:16]!r}")
        if rest[0] not in _LINES:
            if len(rest) > MAX_DIGITS + 2:
                raise MalformedReplyError(f"{rest[:16]!r}... declares no number")
            return False
        if len(rest) >= MAX_LINE_BYTES:
            self._skip(f"a line of a reply is longer than {MAX_LINE_BYTES} bytes")
        if self._reason:
            self._is_in_line = True
            if not self._outer:
                self._kind = rest[0]
        return self._is_in_line

    def _check_size(self, size_bytes: int) -> None:
        """`size_bytes` is the part of the item that is in the buffer, or is declared."""
        size_bytes += self._dropped
        limit = self._max_bytes
        if size_bytes <= limit:
            return
        reason = f"a reply of at least {size_bytes} bytes is larger than max_body_size={limit}"
        if size_bytes > max(SKIPPED_FACTOR * limit, MIN_SKIPPED_BYTES):
            raise MalformedReplyError(reason)
        self._skip(reason)

    def _skip(self, reason: str) -> None:
        """Skip the item that is being scanned."""
        if not self._skips:
            raise MalformedReplyError(reason)
        self._reason = self._reason or reason


def _declared(digits: bytes) -> int:
    """The number in a header."""
    if len(digits) > MAX_DIGITS:
        raise MalformedReplyError(f"{digits[:16]!r}... declares no number")
    return int(digits)


def _as_malformed(reason: Exception) -> MalformedReplyError:
    if isinstance(reason, MalformedReplyError):
        return reason
    return MalformedReplyError(f"the size of a reply is not a number: {reason}")
