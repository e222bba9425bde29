"""The system calls below IOBuf: one write for many blocks.

Short blocks are joined and written with write(); long ones go to writev(). For each block, writev()
acquires and releases a buffer and the kernel reads one more iovec. Together this takes about 30 ns,
the time in which a join copies 1 KiB. Microseconds for one call into a TCP socket with free buffer
space (CPython 3.11, 2-core x86-64 machine, medians of 400 interleaved calls):

    blocks x bytes   join + write   writev        blocks x bytes   join + write   writev
       2 x 80             1.4         1.4           16 x 1024           2.3         2.3
      64 x 80             2.1         3.2          256 x 1024          19.7        17.8
     256 x 80             4.5         8.9            4 x 4096           2.1         1.9
    1024 x 80            14.5        32.3           16 x 16384         17.1        11.8

Both take the same time if blocks have 1 KiB on average. The size of a join is limited, because an
almost full socket takes few bytes of it, and the rest is copied again for the next try.

Long blocks at addresses that the processor copies slowly are written with two calls, see
page_alias.
"""

from __future__ import annotations

import os

from pybrpc.iobuf import page_alias
from pybrpc.iobuf.blocks import Block
from pybrpc.iobuf.short_io import write_short


def _iov_max() -> int:
    try:
        limit = os.sysconf("SC_IOV_MAX")
    except (ValueError, OSError):
        return 1024
    return limit if limit > 0 else 1024


IOV_MAX = _iov_max()
"""The largest number of blocks in one writev() on this system; 1024 on Linux."""

_JOIN_BELOW_MEAN = 1024
_JOIN_AT_MOST = 131072


def write_blocks(fd: int, blocks: list[Block], size_bytes: int) -> int:
    """Write the blocks, which have `size_bytes` in total, once; return the number of bytes written.

    `blocks` has 1 to IOV_MAX items. After an OSError, such as BlockingIOError, nothing was written.
    """
    if len(blocks) == 1:
        return write_short(fd, blocks[0])
    if size_bytes < _JOIN_BELOW_MEAN * len(blocks) and size_bytes <= _JOIN_AT_MOST:
        return write_short(fd, b"".join(blocks))
    is_long = size_bytes >= page_alias.LONG_BYTES
    if is_long and page_alias.HAS_FAULT and page_alias.lie_badly(blocks):
        return _write_apart(fd, *page_alias.part(blocks))
    return os.writev(fd, blocks)


def _write_apart(fd: int, first: list[Block], rest: list[Block]) -> int:
    written = os.writev(fd, first)
    if written < page_alias.FIRST_BYTES:
        return written
    try:
        return written + os.writev(fd, rest)
    except OSError:  # the first bytes are written; the next write will report the error
        return written
