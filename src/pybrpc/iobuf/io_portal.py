"""IOPortal: an IOBuf that a connection is read into. bRPC: IOPortal (src/butil/iobuf.h).

A read of up to 64 KiB makes a `bytes` block of what came. For more a block of that size is taken
from the pool, and read after read goes into it until it is full: what is cut out of the portal are
views of it. What precedes it, if that is short, moves into it, so that a message lies in one block
whose length was known when its first bytes came.

What of a block is handed out already is never written again before the last view of it is gone.
"""

from __future__ import annotations

import os

from pybrpc.iobuf.block_pool import POOL
from pybrpc.iobuf.blocks import Block
from pybrpc.iobuf.iobuf import IOBuf

SMALL_READ = 64 * 1024


class IOPortal(IOBuf):
    """As IOBuf; starts empty."""

    __slots__ = ("_begin", "_filled", "_landed", "_room")

    def __init__(self) -> None:
        IOBuf.__init__(self)
        self._room: memoryview | None = None
        """The block that is being filled, writable."""
        self._filled = 0
        self._begin = 0
        self._landed: Block | None = None
        """What of it was read last: its bytes from `_begin` to `_filled`."""

    def append_from_fd(self, fd: int, max_bytes: int = SMALL_READ) -> int:
        """As that of IOBuf. May read less than there is, if a block is full before.

        `max_bytes` above 64 KiB are allocated at once, whatever comes.
        """
        if max_bytes <= SMALL_READ and self._room is None:
            return self.append_received(os.read(fd, max_bytes)) if max_bytes else 0
        if self._room is None:
            self._start_block(max_bytes)
        room = self._room
        assert room is not None
        count = os.readv(fd, (room[self._filled : self._filled + max_bytes],))
        if count:
            self._land(count)
        return count

    @property
    def held_bytes(self) -> int:
        """What is in here, and the room that is made for more."""
        room = self._room
        return self._size if room is None else self._size + len(room) - self._filled

    def clear(self) -> None:
        """Drop everything, also the block that is being filled."""
        IOBuf.clear(self)
        self._forget_block()

    def _start_block(self, size: int) -> None:
        """Make room for `size` bytes, and for what is here, if that is little and moves there."""
        before = self._size
        if before > SMALL_READ:
            before = 0
        self._room = POOL.take(before + size)
        self._filled = 0
        if before:
            self.copy_to(self._room)
            IOBuf.clear(self)
            self._land(before)

    def _land(self, count: int) -> None:
        """`count` more bytes are in the block."""
        room = self._room
        assert room is not None
        blocks = self._blocks
        if self._landed is not None and blocks and blocks[-1] is self._landed:
            blocks.pop()
        else:
            self._begin = self._filled
        self._filled += count
        self._landed = room[self._begin : self._filled].toreadonly()
        blocks.append(self._landed)
        self._size += count
        if self._filled == len(room):
            self._forget_block()

    def _forget_block(self) -> None:
        self._room = None
        self._landed = None
        self._filled = 0
        self._begin = 0
