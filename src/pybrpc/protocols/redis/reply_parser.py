"""Replies of Redis: RedisCutter cuts complete ones off the received bytes, ReplyParser parses them.

An error reply is a RedisError.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

from pybrpc.errors import MissingExtraError, PyBrpcError
from pybrpc.iobuf import BytesLike, IOBuf
from pybrpc.protocols.protocol import Broken
from pybrpc.protocols.redis.reply_scanner import (
    ATTRIBUTE,
    PUSH,
    Item,
    MalformedReplyError,
    ReplyScanner,
)


class RedisError(PyBrpcError):
    """The reply of Redis to a command that failed, such as "WRONGTYPE Operation ...".

    It is a value among the replies of a request; `raise_for_error()` and `execute` raise it. It is
    no RpcError, because the call itself succeeded. Like bRPC's REDIS_REPLY_ERROR.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    @property
    def code(self) -> str:
        """The first word, which names the kind of error: "WRONGTYPE", "NOPERM", "ERR"."""
        return self.text.partition(" ")[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RedisError) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"<RedisError {self.text}>"


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
        """Bytes that are missing, as `ReplyScanner.bytes_wanted` counts them."""
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


DEFAULT_MAX_REPLY_BYTES = 512 * 1024 * 1024 + 64 * 1024
"""The longest string in Redis (`proto-max-bulk-len`), and 64 KiB for the rest of the reply. With a
lower limit the large value of one caller would close the connection that all callers share."""


class RedisCutter:
    """Cuts replies, as MessageCutter of transport cuts messages. For one thread at a time.

    After `broken` is set, nothing more is cut. MissingExtraError if hiredis is not installed.
    """

    __slots__ = ("_parser", "broken", "buffer", "protocol")

    def __init__(self, max_bytes: int = DEFAULT_MAX_REPLY_BYTES) -> None:
        self.buffer = IOBuf()
        self.protocol = None
        self.broken: Broken | None = None
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
            self.broken = Broken(str(reason))
            self.buffer.clear()
        return replies

    def bytes_wanted(self) -> int:
        """The number of bytes that the string at the end of `buffer` lacks; 0 if unknown."""
        return self._parser.bytes_wanted(self.buffer)
