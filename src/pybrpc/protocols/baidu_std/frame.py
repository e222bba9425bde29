"""The fixed 12-byte header of a baidu_std frame.

    "PRPC" | body_size: u32 | meta_size: u32      both in network byte order

`body_size` counts everything after the header: meta, message and attachment. `meta_size` counts
the meta alone. Source: bRPC docs/cn/baidu_std.md.
"""

from __future__ import annotations

import functools
import struct

MAGIC = b"PRPC"
HEADER_SIZE = 12
MAX_BODY_SIZE = 2**31 - 1
"""What can be packed at most: C++ bRPC counts payload and attachment in a signed 32-bit int."""

_HEADER = struct.Struct("!4sII")

unpack_header = _HEADER.unpack
"""(magic, body_size, meta_size) of exactly 12 bytes."""


pack_header = functools.partial(_HEADER.pack, MAGIC)
"""pack_header(body_size, meta_size): the header of a frame with `body_size` bytes after it,
`meta_size` of them meta."""


def may_be_header(start: bytes) -> bool:
    """Whether up to 12 bytes at the start of a frame can be, or become, a header."""
    return MAGIC.startswith(start[:4])
