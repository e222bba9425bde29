"""RedisCutter: cuts complete replies off the received bytes of one connection."""

from __future__ import annotations

from typing import Any

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.protocol import Broken
from pybrpc.protocols.redis.reply_parser import ReplyParser
from pybrpc.protocols.redis.reply_scanner import MalformedReplyError

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
