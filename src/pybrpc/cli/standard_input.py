"""The lines of the standard input, for threads that may be left behind at the end of the process.

A daemon thread that waits in `sys.stdin` would hold its lock then, which is a fatal error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

READ_BYTES = 65536
MAX_LINE_BYTES = 64 << 20


def lines(fd: int = 0) -> Iterator[bytes]:
    """The lines without their ends, as soon as each has come. ValueError for one over 64 MiB."""
    parts: list[bytes] = []
    waiting = 0
    while data := os.read(fd, READ_BYTES):
        *whole, rest = data.split(b"\n")
        for each in whole:
            yield b"".join((*parts, each)).removesuffix(b"\r")
            parts, waiting = [], 0
        if rest:
            parts.append(rest)
            waiting += len(rest)
        if waiting > MAX_LINE_BYTES:
            raise ValueError(f"a line of the standard input has over {MAX_LINE_BYTES} bytes")
    if parts:
        yield b"".join(parts)
