"""Replies of Redis: RedisCutter cuts complete ones off the received bytes, ReplyParser parses them.

An error reply is a RedisError.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias

from pybrpc.errors import MissingExtraError
from pybrpc.errors import RedisError as RedisError
from pybrpc.iobuf import BytesLike, IOBuf
from pybrpc.protocols.detect import tls_hint
from pybrpc.protocols.protocol import Broken
from pybrpc.protocols.redis.reply_scanner import (
    ATTRIBUTE,
    BLOB_ERROR,
    PUSH,
    Item,
    MalformedReplyError,
    ReplyScanner,
    Span,
)
from pybrpc.protocols.session import Session

Reply: TypeAlias = Any
"""bytes (strings, statuses), int, float, bool, None, list (arrays, sets), dict or RedisError."""

ALL = 1 << 30
TOGETHER_BYTES = 64 * 1024
"""Bytes. Replies of up to this size in total are joined for hiredis; larger ones are not."""

_MORE = object()


@dataclasses.dataclass(frozen=True, slots=True)
class RedisPush:
    """A message that a server sends without a request (RESP3 ">"), such as an invalidation."""

    values: tuple[Reply, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class BadReply:
    """A reply over a limit, or one that has no Python value. Other replies are not affected."""

    reason: str


def check_hiredis() -> None:
    """Raise MissingExtraError, which says what to install, if hiredis is not installed."""
    _reader_class()


class ReplyParser:
    """Parses the replies of one connection, in order. Not thread-safe.

    Without `skips` a reply over a limit is a MalformedReplyError.
    """

    __slots__ = ("_reader", "_scanner")

    def __init__(self, max_bytes: int, skips: bool = True) -> None:
        self._scanner = ReplyScanner(max_bytes, skips)
        self._reader = _new_reader()

    def parse(self, buffer: IOBuf, into: list[Any], at_most: int = ALL) -> None:
        """Move the complete replies at the front of `buffer` to `into`, RedisPushes and BadReplies
        too.

        A reply over a limit becomes a BadReply, and its bytes are dropped as they come.
        MalformedReplyError once the front is no reply, or one that is too large to be skipped.
        """
        while (left := at_most - len(into)) > 0 and (items := self._scanner.scan(buffer, left)):
            size_bytes = sum(size for _, size, _, _ in items)
            if size_bytes <= TOGETHER_BYTES:
                self._parse_together(buffer.cut_contiguous(size_bytes), items, into)
                continue
            for item in items:
                kind, size, odd_parts, reason = item
                if odd_parts or reason or kind == ATTRIBUTE:
                    self._parse_together(buffer.cut_contiguous(size), [item], into)
                    continue
                for part in buffer.cutn(size):
                    self._reader.feed(part)
                self._take(kind, into)

    def bytes_wanted(self, buffer: IOBuf) -> int:
        """Bytes that are missing, as `ReplyScanner.bytes_wanted` counts them."""
        return self._scanner.bytes_wanted(buffer)

    def _parse_together(self, data: BytesLike, items: list[Item], into: list[Any]) -> None:
        at = 0
        for kind, size, odd_parts, reason in items:
            if odd_parts and not reason and kind != ATTRIBUTE:
                self._reader.feed(_plain(data[at : at + size], odd_parts))
                self._take(kind, into)
            elif reason or kind == ATTRIBUTE:
                self._note_skipped(kind, reason, into)
            else:
                self._reader.feed(data, at, size)
                self._take(kind, into)
            at += size

    def _note_skipped(self, kind: int, reason: str, into: list[Any]) -> None:
        if kind == PUSH:
            into.append(RedisPush((BadReply(reason),)))
        elif kind != ATTRIBUTE:
            into.append(BadReply(reason))

    def _take(self, kind: int, into: list[Any]) -> None:
        try:
            value = self._reader.gets()
        except TypeError as error:
            # A map with a key that is a list or a map itself.
            self._reader = _new_reader()
            value = BadReply(f"Python can't represent a reply: {error}")
        if value is _MORE:
            raise MalformedReplyError("hiredis expects more bytes after a whole reply")
        into.append(_push_of(value) if kind == PUSH else value)


def _plain(data: BytesLike, odd_parts: Sequence[Span]) -> bytes:
    """A reply without attributes, and with blob errors as simple errors: of these, each line break
    becomes two blanks, as Redis itself does with errors."""
    data, at = bytes(data), 0
    parts: list[bytes] = []
    for begin, end in odd_parts:
        parts.append(data[at:begin])
        if data[begin] == BLOB_ERROR:
            text = data[data.index(b"\r\n", begin) + 2 : end - 2]
            parts += (b"-", text.translate(_BLANKS), b"\r\n")
        at = end
    return b"".join((*parts, data[at:]))


_BLANKS = bytes.maketrans(b"\r\n", b"  ")


def _push_of(value: Any) -> RedisPush:
    """A push, even if its value is bad: a BadReply would be taken for the reply to a caller."""
    return RedisPush((value,) if isinstance(value, BadReply) else tuple(value or ()))


def _reader_class() -> Any:
    try:
        from hiredis import Reader
    except ImportError:
        raise MissingExtraError(
            'pybrpc.redis needs hiredis; install it with: pip install "pybrpc[redis]"'
        ) from None
    return Reader


def _new_reader() -> Any:
    return _reader_class()(
        protocolError=MalformedReplyError, replyError=RedisError, notEnoughData=_MORE
    )


DEFAULT_MAX_REPLY_BYTES = 512 * 1024 * 1024 + 64 * 1024
"""The longest string in Redis (`proto-max-bulk-len`), and 64 KiB for the rest of the reply."""


class RedisCutter(Session):
    """Cuts replies, as MessageCutter cuts messages. For one thread at a time.

    After `broken` is set, nothing more is cut. MissingExtraError if hiredis is not installed.
    """

    __slots__ = ("_parser",)

    def __init__(self, max_bytes: int = DEFAULT_MAX_REPLY_BYTES) -> None:
        super().__init__()
        self.buffer = IOBuf()
        self._parser = ReplyParser(max_bytes)

    def cut(self) -> list[Any]:
        """Cut all complete replies, RedisPushes and BadReplies off the front of `buffer`."""
        replies: list[Any] = []
        if self.broken is not None:
            self.buffer.clear()
            return replies
        try:
            self._parser.parse(self.buffer, replies)
        except MalformedReplyError as reason:
            self.broken = Broken(f"{reason}{tls_hint(self.buffer)}")
            self.buffer.clear()
        return replies

    def bytes_wanted(self) -> int:
        """The number of bytes that the string at the end of `buffer` lacks; 0 if unknown."""
        return self._parser.bytes_wanted(self.buffer)
