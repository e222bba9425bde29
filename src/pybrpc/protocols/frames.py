"""Limits and packing of frames that are a header, a meta and a payload: baidu_std, hulu, sofa."""

from __future__ import annotations

from collections.abc import Callable

from pybrpc.iobuf import BytesLike
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.protocol import DEFAULT_MAX_META_SIZE, ParseLimits

MAX_FRAME_SIZE = 2**31 - 1
"""Bytes after the header. No more are packed: C++ bRPC has the size in a signed 32-bit int."""

MAX_OVERSIZED_META = 64 * 1024
"""Bytes. The longest meta that is parsed, for its correlation id, of a message over the limit."""

SMALL_SIZE = 4096
"""Bytes. Up to this size copying is cheaper than sharing: such frames are cut in one piece, and
such bodies are packed into one block with their header."""


def oversized_meta_limit(limits: ParseLimits) -> int:
    """The longest meta that is parsed of a message over the limit, in bytes."""
    return min(MAX_OVERSIZED_META, limits.max_body_size)


def size_of(attachment: IOBuf | None) -> int:
    """The size of an attachment in bytes. ValueError if no frame can have it."""
    if attachment is None:
        return 0
    size = len(attachment)
    if size > MAX_FRAME_SIZE:
        raise ValueError(f"attachment_size={size} exceeds the {MAX_FRAME_SIZE} bytes of a frame")
    return size


def pack_frame(
    pack_header: Callable[[int, int], bytes],
    meta: bytes,
    body: BytesLike | IOBuf,
    attachment: IOBuf | None,
) -> IOBuf:
    """A frame; a large body and the attachment are shared. ValueError if it is too long.

    `pack_header(meta_size, payload_size)` makes the header.
    """
    if not isinstance(body, bytes | IOBuf):
        body = memoryview(body).cast("B")
    if len(meta) > DEFAULT_MAX_META_SIZE:
        # A peer with the same limit would close the connection, with all that waits on it.
        raise ValueError(
            f"meta_size={len(meta)} exceeds the {DEFAULT_MAX_META_SIZE} bytes of a meta: "
            "user fields, ids, names and texts are too long"
        )
    payload_size = len(body) + size_of(attachment)
    size = len(meta) + payload_size
    if size > MAX_FRAME_SIZE:
        raise ValueError(f"body_size={size} exceeds the {MAX_FRAME_SIZE} bytes of a frame")
    start = pack_header(len(meta), payload_size) + meta
    if len(body) <= SMALL_SIZE:
        packed = IOBuf(b"".join((start, bytes(body))))
    else:
        packed = IOBuf(start)
        packed.append(body)
    if attachment is not None:
        packed.append(attachment)
    return packed
