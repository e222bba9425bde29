"""RedisCutter: bytes in, whole replies out, for one connection."""

from __future__ import annotations

from typing import Any

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.protocol import Broken
from pybrpc.protocols.redis.reply_parser import ReplyParser
from pybrpc.protocols.redis.reply_scanner import MalformedReplyError

DEFAULT_MAX_REPLY_BYTES = 512 * 1024 * 1024 + 64 * 1024
"""What Redis itself lets a string be (`proto-max-bulk-len`), and room for what is around it. A
lower limit would let one caller's big value close the connection of all."""


class RedisCutter:
    """As transport's MessageCutter, for replies. Not thread-safe: one reader at a time.

    A list of replies, RedisPushes and BadReplies is what one read completed. After `broken` is set
    nothing more is cut. MissingExtraError if hiredis is not installed.
    """

    __slots__ = ("_parser", "broken", "buffer", "protocol")

    def __init__(self, max_bytes: int = DEFAULT_MAX_REPLY_BYTES) -> None:
        self.buffer = IOBuf()
        self.protocol = None
        self.broken: Broken | None = None
        self._parser = ReplyParser(max_bytes)

    def cut(self) -> list[Any]:
        """All replies that stand whole in `buffer`; the rest stays there."""
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
        """How much more the string at the end of `buffer` needs; 0 if that is not known."""
        return self._parser.bytes_wanted(self.buffer)
