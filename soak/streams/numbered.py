"""Numbered messages: of which stream, from which side, which one."""

from __future__ import annotations

import random
import struct

MOST_BYTES = 1 << 18
_HEADER = struct.Struct("<QHBI")
_BLOCK = random.Random(3).randbytes(2 * MOST_BYTES)


def pack(call: int, index: int, is_client: bool, number: int, size: int) -> bytes:
    """Message `number`, from 0, of a side of stream `index` of a call; `size` bytes behind the
    header, which follow from the rest."""
    start = (call * 31 + number * 7) % MOST_BYTES
    return _HEADER.pack(call, index, is_client, number) + _BLOCK[start : start + size]


def unpack(message: bytes) -> tuple[int, int, bool, int]:
    """Arguments of `pack` without the size. ValueError if `pack` did not make it."""
    if len(message) < _HEADER.size:
        raise ValueError(f"{len(message)} bytes are no message")
    call, index, is_client, number = _HEADER.unpack_from(message)
    if pack(call, index, is_client, number, len(message) - _HEADER.size) != message:
        raise ValueError(f"{len(message)} bytes, of which some are not as they were sent")
    return call, index, bool(is_client), number


def drawn_size(source: random.Random) -> int:
    """Small in most cases."""
    return source.randrange(200) if source.random() < 0.9 else int(MOST_BYTES ** source.random())
