"""The fixed 12-byte header of a baidu_std frame.

    "PRPC" | body_size: u32 | meta_size: u32      both in network byte order

`body_size` is the size of everything after the header: meta, body and attachment. `meta_size` is
the size of the meta alone. Source: bRPC docs/cn/baidu_std.md.
"""

from __future__ import annotations

import functools
import struct

MAGIC = b"PRPC"
HEADER_SIZE = 12

_HEADER = struct.Struct("!4sII")

unpack_header = _HEADER.unpack
"""unpack_header(data): (magic, body_size, meta_size) from exactly 12 bytes."""


pack_header = functools.partial(_HEADER.pack, MAGIC)
"""pack_header(body_size, meta_size): the 12 bytes of a header."""


def may_be_header(start: bytes) -> bool:
    """Whether up to 12 bytes are the start of a header."""
    return MAGIC.startswith(start[:4])
