"""Blocks: the immutable pieces of memory that an IOBuf consists of.

A block is a `bytes` object, or a read-only memoryview of format "B". These memoryview objects never
leave the package, because a user may release any view that it gets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

Block: TypeAlias = bytes | memoryview
BytesLike: TypeAlias = bytes | bytearray | memoryview

COPY_BELOW = 4096
"""A part of a `bytes` block is copied if it is shorter than this many bytes. Copying 1 KiB takes
50 ns and 2 KiB 80 ns; a view takes 140 ns and 200 bytes, and keeps the whole block in memory."""

LEAST_SHARE = 16
"""A part of a block that data was received into is copied, too, if it is less than a 16th of the
block: so a part of a message that a user keeps holds at most 16 times its size in memory."""


def as_block(data: object) -> Block:
    """A block with the bytes of `data`: `data` itself if it is read-only, else a copy."""
    if type(data) is bytes:
        return data
    try:
        view = memoryview(data)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"IOBuf holds bytes, not {type(data).__name__}{_advice(data)}") from None
    if view.readonly and view.c_contiguous and view.nbytes:
        return view.cast("B")
    return view.tobytes()


def piece(block: Block, start: int, end: int) -> Block:
    """block[start:end], as a view, or as a copy if it is a short part of the block."""
    if type(block) is bytes:
        return block[start:end] if end - start < COPY_BELOW else memoryview(block)[start:end]
    return bytes(block[start:end]) if is_short(block, end - start) else block[start:end]


def is_short(block: Block, size: int) -> bool:
    """Whether `size` bytes of the block are copied instead of shared.

    A block that data was received into is a view of a `bytearray`, see block_pool.
    """
    if isinstance(block, bytes):
        return size < COPY_BELOW
    return type(whole := block.obj) is bytearray and size * LEAST_SHARE < len(whole)


def window(blocks: list[Block], first: int, start: int, size: int) -> Iterator[memoryview]:
    """Views of `size` bytes at the front of a chain, which begins at index `start` of
    `blocks[first]`."""
    for index in range(first, len(blocks)):
        block = blocks[index]
        if size <= 0:
            return
        room = len(block) - start
        if room > 0:
            yield memoryview(block)[start : start + size]
            size -= room
        start = max(0, -room)


def find(blocks: list[Block], first: int, start: int, delimiter: bytes) -> int:
    """The number of bytes before the first `delimiter` in a chain that begins at index `start` of
    `blocks[first]`; -1 if there is no delimiter.

    Each block is searched in place. A delimiter that crosses blocks is searched in `seam`: the last
    bytes before a block and its first bytes, on each side one less than the delimiter has.
    """
    overlap = len(delimiter) - 1
    base = 0
    tail = b""
    for number in range(first, len(blocks)):
        block = blocks[number]
        seam = tail + bytes(block[start : start + overlap])
        if (index := seam.find(delimiter)) >= 0:
            return base - len(tail) + index
        if (index := _find_in_block(block, delimiter, start)) >= 0:
            return base + index - start
        base += len(block) - start
        if overlap:
            tail = (tail + bytes(block[max(start, len(block) - overlap) :]))[-overlap:]
        start = 0
    return -1


def _find_in_block(block: Block, delimiter: bytes, start: int) -> int:
    if isinstance(block, bytes):
        return block.find(delimiter, start)
    found = re.compile(re.escape(delimiter)).search(block, start)
    return found.start() if found else -1


def _advice(data: object) -> str:
    if isinstance(data, str):
        return '; encode it first, for example text.encode("utf-8")'
    return "; pass bytes, a bytearray, a memoryview or another IOBuf"
