"""IOBuf: the buffer in which messages are built, from which they are cut and written.

It is a chain of blocks. Blocks never change, so buffers can share them: cutting, copying, and
appending one buffer to another move references, not bytes. The contents may begin at some index of
the first block (`_start`), so that consuming bytes at the front, as parsers do, changes two
integers and makes no object. bRPC: src/butil/iobuf.h.

To remove the first item of a list moves all others. So in a long chain, blocks that were consumed
leave empty ones behind, before index `_first`, which are removed together once they are half of the
list. In a list of fewer than `_LONG` blocks `_first` is 0.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pybrpc.iobuf.blocks import Block, BytesLike, as_block, find, is_short, piece, window
from pybrpc.iobuf.fd_io import IOV_MAX, write_blocks
from pybrpc.iobuf.short_io import read_short
from pybrpc.iobuf.user_data import lend

B = TypeVar("B")

_MERGE_BELOW = 2048
"""A read of fewer bytes than this is joined with the block before it, so that a peer that sends
single bytes doesn't make this process keep an object for each byte."""


_LONG = 64
"""A list of fewer blocks is cheap to move."""

_GONE: Block = b""


class IOBuf:
    """A queue of bytes in shared blocks. `len()` is O(1).

    `data` is appended as by `append`. Not thread-safe: one thread at a time may use an IOBuf, but
    buffers that share blocks may be used in different threads. Only methods with fd in their names
    can block, and only if the descriptor is a blocking one. Not hashable. Counts and offsets are in
    bytes; a negative one is a ValueError.
    """

    __slots__ = ("_blocks", "_first", "_size", "_start")

    def __init__(self, data: BytesLike | IOBuf = b"") -> None:
        self._blocks: list[Block] = []
        self._first = 0
        self._start = 0
        self._size = 0
        if type(data) is not bytes:
            self.append(data)
        elif data:
            self._blocks.append(data)
            self._size = len(data)

    # Adding

    def append(self, data: BytesLike | IOBuf) -> None:
        """Add `data` at the back.

        `bytes`, and any other read-only C-contiguous buffer, are not copied; the memory behind a
        read-only view must not change afterwards. A bytearray, a writable or a strided view is
        copied at once. The blocks of another IOBuf are shared, and it stays unchanged; a buffer
        may be appended to itself. Empty data adds no block. TypeError for anything else.
        """
        if type(data) is bytes:
            if data:
                self._blocks.append(data)
                self._size += len(data)
        elif isinstance(data, IOBuf):
            self._append_iobuf(data)
        elif len(block := as_block(data)):
            self._blocks.append(block)
            self._size += len(block)

    def appendv(self, parts: Iterable[BytesLike | IOBuf]) -> None:
        """Append each of `parts` in order."""
        for part in parts:
            self.append(part)

    def append_user_data(self, buffer: B, on_release: Callable[[B], object]) -> None:
        """Add a buffer, which may be writable, without copying; report when it is unused.

        `on_release(buffer)` is called exactly once: when no IOBuf, and no view taken from one,
        refers to the buffer any more, in the thread that dropped the last of them; at once if the
        buffer is empty. Until then the buffer must not change. The function must neither block nor
        raise. It isn't called for buffers that are in use when the interpreter ends.
        TypeError if `buffer` isn't bytes-like, BufferError if it isn't C-contiguous.
        """
        block = lend(buffer, on_release)
        if len(block):
            self._blocks.append(block)
            self._size += len(block)

    def append_from_fd(self, fd: int, max_bytes: int = 65536) -> int:
        """Read once from `fd`, at most `max_bytes`; return the number of bytes read, 0 at its end.

        If `max_bytes` is 0, the result is 0 without a system call. OSError (BlockingIOError on
        EAGAIN) is passed on, and nothing is added. bRPC: IOPortal::append_from_file_descriptor.
        """
        if not max_bytes:
            return 0
        return self.append_received(read_short(fd, max_bytes))

    def append_received(self, data: bytes) -> int:
        """Add the bytes of one read, few bytes to the block before; return their number."""
        count = len(data)
        if count < _MERGE_BELOW and self._size and len(last := self._blocks[-1]) < _MERGE_BELOW:
            self._blocks[-1] = b"".join((last, data))
        elif count:
            self._blocks.append(data)
        self._size += count
        return count

    def resize(self, n: int, fill: int = 0) -> None:
        """Change the length to `n`: drop bytes at the back, or append bytes of value `fill`."""
        _check_count(n)
        if n <= self._size:
            self.pop_back(self._size - n)
        else:
            self.append(bytes((fill,)) * (n - self._size))

    # Taking away

    def cutn(self, n: int) -> IOBuf:
        """Cut min(n, len) bytes off the front, as an IOBuf with their blocks.

        Bytes are copied only if they are less than 4 KiB of a longer `bytes` block, or less than a
        16th of a block that data was received into.
        """
        cut = IOBuf()
        if n >= self._size:
            self.swap(cut)
            cut._leave_large_block()
            return cut
        if n <= 0:
            _check_count(n)
            return cut
        self._size -= n
        cut._size = n
        start = self._start
        blocks = self._blocks
        first = self._first
        room = len(blocks[first]) - start
        if n >= room:
            cut._start = start
            start = 0
            end = first
            while n >= room:
                n -= room
                end += 1
                room = len(blocks[end])
            cut._blocks = blocks[first:end]
            first = self._remove_front(end)
            cut._leave_large_block()
        if n:
            cut._blocks.append(piece(blocks[first], start, start + n))
        self._start = start + n
        return cut

    def cut_contiguous(self, n: int) -> bytes | memoryview:
        """Cut min(n, len) bytes off the front, as one contiguous object.

        The bytes of one block are not copied: a whole `bytes` block is returned as that object, a
        part as a read-only view (less than 4 KiB of a `bytes` block as a copy, which is cheaper).
        The bytes of several blocks are joined.
        """
        if n <= 0 or not self._size:
            return self.cutn(n)._contiguous()
        block = self._blocks[self._first]
        start = self._start
        end = start + n
        room = len(block)
        if end < room:
            self._start = end
            self._size -= n
            return piece(block, start, end)
        if end > room and len(self._blocks) > 1:
            return self.cutn(n)._contiguous()
        self._start = 0
        self._size -= room - start
        self._remove_front(self._first + 1)
        return block if type(block) is bytes and not start else piece(block, start, room)

    def cut_until(self, delimiter: bytes) -> IOBuf | None:
        """Cut the bytes before the first `delimiter`, and drop the delimiter.

        `None`, and nothing is cut, if there is no delimiter. It may cross blocks. ValueError if it
        is empty. bRPC: IOBuf::cut_until.
        """
        if not delimiter:
            raise ValueError("cut_until needs a delimiter of at least one byte")
        index = find(self._blocks, self._first, self._start, delimiter)
        if index < 0:
            return None
        cut = self.cutn(index)
        self.pop_front(len(delimiter))
        return cut

    def pop_front(self, n: int) -> int:
        """Drop min(n, len) bytes at the front; return their number."""
        if n >= self._size:
            n = self._size
            self.clear()
            return n
        if n <= 0:
            return _check_count(n)
        self._size -= n
        start = self._start + n
        blocks = self._blocks
        if start < len(blocks[self._first]):
            self._start = start
        else:
            self._drop_blocks(start)
        return n

    def pop_back(self, n: int) -> int:
        """Drop min(n, len) bytes at the back; return their number."""
        if n >= self._size:
            n = self._size
            self.clear()
            return n
        left = _check_count(n)
        self._size -= n
        blocks = self._blocks
        dropped: list[Block] = []
        while left >= len(blocks[-1]):
            dropped.append(blocks.pop())
            left -= len(dropped[-1])
        if left:
            blocks[-1] = piece(blocks[-1], 0, len(blocks[-1]) - left)
        if self._first and len(blocks) < _LONG:
            del blocks[: self._first]
            self._first = 0
        return n

    def cut_into_fd(self, fd: int, size_hint: int | None = None) -> int:
        """Write the front in one system call; pop the bytes written and return their number.

        At most IOV_MAX blocks are offered to the kernel, and none after the one that reaches
        `size_hint` bytes. If the buffer is empty, the result is 0 without a system call. OSError
        (BlockingIOError on EAGAIN) is passed on, and nothing is popped.
        bRPC: IOBuf::cut_into_file_descriptor.
        """
        if not self._size:
            return 0
        if len(self._blocks) == 1 and not self._start:
            return self.pop_front(os.write(fd, self._blocks[0]))
        views: list[Block] = []
        size = self._take_views(views, IOV_MAX, size_hint)
        return self.pop_front(write_blocks(fd, views, size))

    def clear(self) -> None:
        """Drop everything."""
        self._size = 0
        self._start = 0
        self._first = 0
        del self._blocks[:]

    def swap(self, other: IOBuf) -> None:
        """Exchange the contents of two buffers."""
        self._blocks, other._blocks = other._blocks, self._blocks
        self._first, other._first = other._first, self._first
        self._start, other._start = other._start, self._start
        self._size, other._size = other._size, self._size

    # Looking

    def peek(self, n: int | None = None, offset: int = 0) -> bytes:
        """A copy of min(n, len - offset) bytes from `offset` on; of all bytes if `n` is None."""
        if n is None:
            n = self._size
        if n < 0 or offset < 0:
            _check_count(min(n, offset))
        start = self._start + offset
        if self._size and start + n <= len(block := self._blocks[self._first]):
            found = block[start : start + n]
            return found if type(found) is bytes else bytes(found)
        return b"".join(window(self._blocks, self._first, start, n))

    def copy_to(self, target: bytearray | memoryview, n: int | None = None, offset: int = 0) -> int:
        """Copy min(n, len - offset, size of target) bytes from `offset` on into a writable,
        C-contiguous buffer; return their number. TypeError if the buffer is read-only."""
        _check_count(offset)
        done = 0
        with memoryview(target) as view, view.cast("B") as room:
            wanted = len(room) if n is None else min(_check_count(n), len(room))
            for part in window(self._blocks, self._first, self._start + offset, wanted):
                room[done : done + len(part)] = part
                done += len(part)
        return done

    def copy(self) -> IOBuf:
        """Another IOBuf with the same blocks. No byte is copied."""
        twin = IOBuf()
        twin._blocks.extend(self._blocks[self._first :])
        twin._start = self._start
        twin._size = self._size
        return twin

    __copy__ = copy

    @property
    def block_count(self) -> int:
        """How many blocks its bytes are in."""
        return len(self._blocks) - self._first

    def __len__(self) -> int:
        return self._size

    def __bool__(self) -> bool:
        return self._size > 0

    def __bytes__(self) -> bytes:
        """The contents, not copied if they are one whole `bytes` block."""
        found = self._contiguous()
        return found if isinstance(found, bytes) else bytes(found)

    def __iter__(self) -> Iterator[memoryview]:
        """Read-only views of the blocks, in order, as they were when the iteration began."""
        views: list[Block] = []
        self._take_views(views, len(self._blocks))
        return map(_fresh_view, views)

    def __eq__(self, other: object) -> bool:
        """Whether the bytes are equal. `other` may be any bytes-like object."""
        if not isinstance(other, IOBuf | bytes | bytearray | memoryview):
            return NotImplemented
        if isinstance(other, IOBuf) and other._size != self._size:
            return False
        return bytes(self) == bytes(other)

    def __add__(self, other: BytesLike | IOBuf) -> IOBuf:
        total = self.copy()
        total.append(other)
        return total

    def __iadd__(self, other: BytesLike | IOBuf) -> IOBuf:
        self.append(other)
        return self

    def __repr__(self) -> str:
        shown = self.peek(16)
        dots = "..." if len(shown) < self._size else ""
        return f"<IOBuf of {self._size} bytes in {self.block_count} blocks: {shown!r}{dots}>"

    # Within the package

    def _append_iobuf(self, other: IOBuf) -> None:
        views: list[Block] = []
        self._size += other._take_views(views, len(other._blocks))
        self._blocks += views

    def _take_views(self, into: list[Block], limit: int, size_hint: int | None = None) -> int:
        """Append the first `limit` blocks to a list, the first one from `_start` on; return their
        size. No block is added after the one that reaches `size_hint` bytes."""
        size = 0
        start = self._start
        first = self._first
        for block in self._blocks[first : first + limit]:
            view = memoryview(block)[start:] if start else block
            into.append(view)
            start = 0
            size += len(view)
            if size_hint is not None and size >= size_hint:
                break
        return size

    def _contiguous(self) -> Block:
        blocks = self._blocks
        if not blocks:
            return b""
        if len(blocks) > 1:
            return b"".join(self)
        block = blocks[0]
        if type(block) is bytes and not self._start:
            return block
        return piece(block, self._start, len(block))

    def _leave_large_block(self) -> None:
        """Copy the contents of the first block if they are a small part of it."""
        if not self._size:
            return
        first = self._first
        block = self._blocks[first]
        start = self._start
        if (start or type(block) is not bytes) and is_short(block, len(block) - start):
            self._blocks[first] = piece(block, start, len(block))
            self._start = 0

    def _drop_blocks(self, start: int) -> None:
        """Drop blocks at the front until `start` is an index in the first one. They are freed last,
        when this buffer is consistent again: an `on_release` function may use it."""
        blocks = self._blocks
        first = end = self._first
        while start >= (room := len(blocks[end])):
            start -= room
            end += 1
        dropped = blocks[first:end]
        self._remove_front(end)
        self._start = start
        del dropped

    def _remove_front(self, end: int) -> int:
        """Remove the blocks before index `end`; return the new index of the first one."""
        blocks = self._blocks
        if len(blocks) < _LONG or 2 * end >= len(blocks):
            del blocks[:end]
            self._first = 0
        else:
            blocks[self._first : end] = [_GONE] * (end - self._first)
            self._first = end
        return self._first


def iobuf_of(block: bytes) -> IOBuf:
    """`IOBuf(block)` for a block that is not empty, but faster."""
    buffer = IOBuf.__new__(IOBuf)
    buffer._blocks = [block]
    buffer._first = 0
    buffer._start = 0
    buffer._size = len(block)
    return buffer


def _fresh_view(block: Block) -> memoryview:
    return memoryview(block)


def _check_count(n: int) -> int:
    if n < 0:
        raise ValueError(f"a count or offset must be at least 0 bytes, not {n}")
    return n
