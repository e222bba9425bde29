"""Writes many IOBufs with one system call, for the write queue of a connection."""

from __future__ import annotations

from collections.abc import Sequence

from pybrpc.iobuf.blocks import Block
from pybrpc.iobuf.fd_io import IOV_MAX, write_blocks
from pybrpc.iobuf.iobuf import IOBuf


def cut_multiple_into_fd(fd: int, bufs: Sequence[IOBuf]) -> int:
    """Write the fronts of `bufs`, in order, in one system call; return the number of bytes written.

    At most IOV_MAX blocks are offered to the kernel, so bytes may be left even if the kernel takes
    all that it is offered. Written bytes are popped from their buffers. The buffers must be
    distinct. If all are empty, the result is 0 without a system call. OSError (BlockingIOError on
    EAGAIN) is passed on, and nothing is popped. Short blocks are joined by copying, see fd_io.
    bRPC: IOBuf::cut_multiple_into_file_descriptor.
    """
    blocks: list[Block] = []
    size = 0
    has_more = False
    for buf in bufs:
        if len(blocks) + len(buf._blocks) > IOV_MAX:
            size += buf._take_views(blocks, IOV_MAX - len(blocks))
            has_more = True
            break
        if buf._start or buf._first:
            buf._take_views(blocks, IOV_MAX)
        else:
            blocks += buf._blocks
        size += buf._size
    if not size:
        return 0
    written = write_blocks(fd, blocks, size)
    if written == size and not has_more:
        for buf in bufs:
            buf.clear()
    else:
        _pop_written(bufs, written)
    return written


def _pop_written(bufs: Sequence[IOBuf], count: int) -> None:
    for buf in bufs:
        if count <= 0:
            return
        count -= buf.pop_front(count)
