"""ReplyParser: converts replies to Python values, with hiredis."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

from pybrpc.errors import MissingExtraError
from pybrpc.iobuf import BytesLike, IOBuf
from pybrpc.protocols.redis.redis_error import RedisError
from pybrpc.protocols.redis.reply_scanner import (
    ATTRIBUTE,
    PUSH,
    Item,
    MalformedReplyError,
    ReplyScanner,
)

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
    """A complete reply that has no Python value. The replies after it are not affected."""

    reason: str


def check_hiredis() -> None:
    """Raise MissingExtraError, which says what to install, if hiredis is not installed."""
    _reader_class()


class ReplyParser:
    """Parses the replies of one connection, in order. Not thread-safe."""

    __slots__ = ("_reader", "_scanner")

    def __init__(self, max_bytes: int) -> None:
        self._scanner = ReplyScanner(max_bytes)
        self._reader = _new_reader()

    def parse(self, buffer: IOBuf, into: list[Any], at_most: int = ALL) -> None:
        """Move the complete replies at the front of `buffer` to `into`, RedisPushes and BadReplies
        too.

        MalformedReplyError once the front is no reply, or a reply over a limit.
        """
        while (left := at_most - len(into)) > 0 and (items := self._scanner.scan(buffer, left)):
            size_bytes = sum(size for _, size in items)
            if size_bytes <= TOGETHER_BYTES:
                self._parse_together(buffer.cut_contiguous(size_bytes), items, into)
                continue
            for kind, size in items:
                for part in buffer.cutn(size):
                    self._reader.feed(part)
                self._take(kind, into)

    def bytes_wanted(self, buffer: IOBuf) -> int:
        """As `ReplyScanner.bytes_wanted`."""
        return self._scanner.bytes_wanted(buffer)

    def _parse_together(self, data: BytesLike, items: list[Item], into: list[Any]) -> None:
        at = 0
        for kind, size in items:
            self._reader.feed(data, at, size)
            self._take(kind, into)
            at += size

    def _take(self, kind: int, into: list[Any]) -> None:
        try:
            value = self._reader.gets()
        except TypeError as error:
            # A map with a key that is a list or a map itself.
            self._reader = _new_reader()
            value = BadReply(f"Python can't represent a reply: {error}")
        if value is _MORE:
            raise MalformedReplyError("hiredis expects more bytes after a whole reply")
        if kind == PUSH:
            value = _push_of(value)
        if kind != ATTRIBUTE:
            into.append(value)


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
