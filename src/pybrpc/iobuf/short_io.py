"""One short read, and one short write, of a descriptor.

Python gives up the GIL for a system call and asks for it again. With several threads each time is a
chance that another one takes it, and that this one must be woken: more than the call itself costs.
So compiled code makes short calls on sockets at once, with the GIL, and without waiting
(MSG_DONTWAIT). What it can't do that way (a descriptor that is no socket, a full buffer, long data)
`os` does.
"""

from __future__ import annotations

import os

from pybrpc.base.implementation import __impl__
from pybrpc.iobuf.blocks import Block

SHORT_BYTES = 16 * 1024
"""Longer data is written without the GIL."""

IS_COMPILED = __impl__ == "compiled"


def write_short(fd: int, data: Block) -> int:
    """Write once; return the number of bytes written. OSErrors are those of `os.write`."""
    if IS_COMPILED and type(data) is bytes and len(data) <= SHORT_BYTES:
        written = send_at_once(fd, data)  # type: ignore[name-defined]  # noqa: F821 - in the .pxd
        if written >= 0:
            return written  # type: ignore[no-any-return]
    return os.write(fd, data)


def read_short(fd: int, max_bytes: int) -> bytes:
    """Read once, at most `max_bytes`; b"" at the end. OSErrors are those of `os.read`."""
    if IS_COMPILED:
        data = receive_at_once(fd, max_bytes)  # type: ignore[name-defined]  # noqa: F821
        if data is not None:
            return data  # type: ignore[no-any-return]
    return os.read(fd, max_bytes)
