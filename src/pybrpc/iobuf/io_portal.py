"""IOPortal: an IOBuf that a connection is read into. bRPC: IOPortal (src/butil/iobuf.h).

A read of up to 64 KiB makes a `bytes` block of the received data. For a larger read, a block of
that size is taken from the pool, and reads go into it until it is full; the portal's contents are
views of it. Short contents before it are copied into it. So a message is in one block if its length
was known from its first bytes.

Bytes of a block that are in use are not overwritten before the last view of the block is gone.
"""

from __future__ import annotations

import os

from pybrpc.iobuf.block_pool import POOL
from pybrpc.iobuf.blocks import Block
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.iobuf.short_io import read_short

SMALL_READ = 64 * 1024


class IOPortal(IOBuf):
    """An IOBuf that starts empty."""

    __slots__ = ("_begin", "_filled", "_landed", "_room")

    def __init__(self) -> None:
        IOBuf.__init__(self)
        self._room: memoryview | None = None
        """A writable view of the block that is being filled."""
        self._filled = 0
        self._begin = 0
        self._landed: Block | None = None
        """The view of its last received bytes, from `_begin` to `_filled`."""

    def append_from_fd(self, fd: int, max_bytes: int = SMALL_READ) -> int:
        """Read as `IOBuf.append_from_fd` does, but only until the current block is full.

        If `max_bytes` is above 64 KiB, that many bytes are allocated before any is received.
        """
        if max_bytes <= SMALL_READ and self._room is None:
            return self.append_received(read_short(fd, max_bytes)) if max_bytes else 0
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
        """The size of the contents, and of the free part of the block that is being filled."""
        room = self._room
        return self._size if room is None else self._size + len(room) - self._filled

    def clear(self) -> None:
        """Drop the contents and the block that is being filled."""
        IOBuf.clear(self)
        self._forget_block()

    def _start_block(self, size: int) -> None:
        """Start a block for `size` more bytes. Short contents are moved into it."""
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
        """Add `count` bytes, which were received into the block, to the contents."""
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
