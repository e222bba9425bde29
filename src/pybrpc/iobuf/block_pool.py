"""BlockPool: reuses the large blocks that data is received into.

The first write to a fresh page causes a page fault, 256 of them for one MiB: that takes longer than
the kernel needs to copy this MiB. A block that was written before causes none. The pool keeps every
block that it may give out again, used or unused, and finds out by the reference count: every
memoryview of a block, slices of slices included, holds a reference to the block itself.

While a thread checks the count of a block, the block is not in the pool, so no two threads get the
same one.
"""

from __future__ import annotations

import sys
from collections import deque

POOL_BYTES = 32 * 1024 * 1024
"""The most bytes of unused blocks that a process keeps."""

POOLED_FROM = 256 * 1024
"""Smaller blocks are left to the allocator, which seldom returns so little memory to the system."""

GRAIN = 64 * 1024
"""Sizes of blocks are multiples of this, so that messages of similar sizes use the same blocks."""


class BlockPool:
    """Blocks of `POOLED_FROM` bytes or more. For any thread; no method blocks."""

    __slots__ = ("_blocks", "_limit")

    def __init__(self, limit_bytes: int = POOL_BYTES) -> None:
        self._blocks: deque[bytearray] = deque()
        self._limit = limit_bytes

    def take(self, size: int) -> memoryview:
        """A writable view of `size` bytes that nothing else uses. Its contents are undefined.

        The block behind the view is at most twice as large, or 64 KiB larger.
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
    def block_count(self) -> int:
        """The number of blocks in the pool, used and unused."""
        return len(self._blocks)

    @property
    def size_bytes(self) -> int:
        """The size of all blocks in the pool, used and unused."""
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
        """Remove the oldest block, which is freed once it is unused."""
        try:
            self._blocks.popleft()
        except IndexError:
            return


def _references_of_unused() -> int:
    """The result of `sys.getrefcount` for a block that only its caller refers to."""
    blocks = deque([bytearray(1)])
    block = blocks.popleft()
    return sys.getrefcount(block)


_REFERENCES = _references_of_unused()

POOL = BlockPool()
"""The pool of this process. A forked child has a copy."""
