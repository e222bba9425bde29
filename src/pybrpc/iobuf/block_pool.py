"""BlockPool: the large blocks that are received into, used again.

A fresh page costs a page fault when it is first written, 256 of them a MiB: more than the kernel
takes to copy that MiB. A block that was written before costs none. The pool knows each block that
it may give again, in use or not, and finds out by the count of references: every memoryview over
a block, slices of slices included, holds the block itself.

A block is out of the pool while somebody looks at its count, so no two get the same one.
"""

from __future__ import annotations

import sys
from collections import deque

POOL_BYTES = 32 * 1024 * 1024
"""What a process keeps at most of blocks that nobody uses."""

POOLED_FROM = 256 * 1024
"""Smaller blocks are left to the allocator, which seldom gives memory of that size back."""

GRAIN = 64 * 1024
"""Blocks have multiples of this size, so that messages of about one size use the same ones."""


class BlockPool:
    """Blocks of `POOLED_FROM` bytes or more. Any thread; never blocks."""

    __slots__ = ("_blocks", "_limit")

    def __init__(self, limit_bytes: int = POOL_BYTES) -> None:
        self._blocks: deque[bytearray] = deque()
        self._limit = limit_bytes

    def take(self, size: int) -> memoryview:
        """A writable view of `size` bytes, whatever is in them, that nobody else uses.

        The block behind it is at most twice as large, or 64 KiB larger.
        """
        if size < POOLED_FROM:
            return memoryview(bytearray(size))
        block = self._find(size) or bytearray(-(-size // GRAIN) * GRAIN)
        view = memoryview(block)[:size]
        self._blocks.append(block)
        while self.size_bytes > self._limit:
            self._forget_oldest()
        return view

    @property
    def size_bytes(self) -> int:
        """Of all blocks it knows."""
        return sum(map(len, list(self._blocks)))

    def _find(self, size: int) -> bytearray | None:
        blocks = self._blocks
        for _ in range(len(blocks)):
            try:
                block = blocks.popleft()
            except IndexError:
                return None
            if size <= len(block) <= 2 * size and sys.getrefcount(block) <= _REFERENCES:
                return block
            blocks.append(block)
        return None

    def _forget_oldest(self) -> None:
        """It is freed when nobody uses it any more."""
        try:
            self._blocks.popleft()
        except IndexError:
            return


def _references_of_unused() -> int:
    """What `sys.getrefcount` says of a block that only the one who asks knows."""
    blocks = deque([bytearray(1)])
    block = blocks.popleft()
    return sys.getrefcount(block)


_REFERENCES = _references_of_unused()

POOL = BlockPool()
"""Of this process. A forked child goes on with a copy."""
