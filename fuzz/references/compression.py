"""Decompression by the book: zlib without limits or steps, and snappy in plain Python.

Snappy: https://github.com/google/snappy/blob/main/format_description.txt
"""

from __future__ import annotations

import zlib

MAX_STREAMS = 1000


class DamagedError(Exception):
    """The bytes are not what that library gives."""


def inflate(body: bytes, wbits: int) -> bytes:
    """Streams in a row, each to its end; no bytes are an empty body."""
    plain, streams = b"", 0
    while body:
        streams += 1
        inflater = zlib.decompressobj(wbits)
        try:
            plain += inflater.decompress(body)
        except zlib.error:
            raise DamagedError("zlib") from None
        if not inflater.eof or streams > MAX_STREAMS:
            raise DamagedError("cut short, or too many streams")
        body = inflater.unused_data
    return plain


def unsnap(body: bytes, limit_bytes: int) -> bytes:
    """DamagedError too for one that declares more than `limit_bytes`."""
    size, at = _varint(body)
    if size > limit_bytes:
        raise DamagedError("declares too much")
    plain = bytearray()
    while at < len(body):
        kind = body[at] & 3
        at = _copy_back(body, at, kind, plain) if kind else _copy_literal(body, at, plain)
        if len(plain) > size:
            raise DamagedError("is more than it declares")
    if len(plain) != size:
        raise DamagedError("is less than it declares")
    return bytes(plain)


def _varint(body: bytes) -> tuple[int, int]:
    value = 0
    for at, byte in enumerate(body[:5]):
        value |= (byte & 0x7F) << (7 * at)
        if byte < 0x80:
            if value >= 1 << 32:
                break
            return value, at + 1
    raise DamagedError("declares no size")


def _copy_literal(body: bytes, at: int, plain: bytearray) -> int:
    length = body[at] >> 2
    at += 1
    if length >= 60:
        extra = length - 59
        length = int.from_bytes(_some(body, at, extra), "little")
        at += extra
    plain += _some(body, at, length + 1)
    return at + length + 1


def _copy_back(body: bytes, at: int, kind: int, plain: bytearray) -> int:
    tag = body[at]
    extra = (1, 2, 4)[kind - 1]
    offset = int.from_bytes(_some(body, at + 1, extra), "little")
    length = (tag >> 2) + 1
    if kind == 1:
        offset |= tag >> 5 << 8
        length = (tag >> 2 & 7) + 4
    if not 0 < offset <= len(plain):
        raise DamagedError("copies from before the start")
    start = len(plain) - offset
    piece = plain[start : start + length]
    plain += (piece * length)[:length]
    return at + 1 + extra


def _some(body: bytes, at: int, size: int) -> bytes:
    found = body[at : at + size]
    if len(found) < size:
        raise DamagedError("is cut short")
    return found
