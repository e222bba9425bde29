"""Compression of bodies, with the numbers of bRPC's `CompressType`.

Attachments are never compressed.

gzip and zlib come from the standard library. snappy is the raw block format (without frames), from
the package cramjam, which is imported when it is first needed.

A few bytes can become gigabytes when they are decompressed. So there is a limit, and no more than
that is ever allocated: zlib stops there; snappy declares its size first, which is checked against
the limit and against the largest size that its bytes can have.

Several gzip or zlib streams in a row are one body, and no bytes at all are an empty body, as in
C++, which reads with protobuf's GzipInputStream. C++ takes any error for the end: a truncated body
becomes a shorter message, a damaged one an empty message. Here those are errors.
"""

from __future__ import annotations

import enum
import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pybrpc.iobuf import BytesLike
from pybrpc.rpc.body_error import BodyError

STEP_SIZE = 16 * 1024
"""Bytes given to zlib at once: it copies those that belong to the next stream."""

MAX_STREAMS = 1000
"""Streams in one body. Each costs microseconds for 20 bytes or less; C++ sends one."""

MAX_SNAPPY_RATIO = 22
"""Above the highest ratio of snappy: 64 bytes, copied by an element of 3 bytes."""

_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS
_ZLIB_WBITS: Final = zlib.MAX_WBITS


class CompressType(enum.IntEnum):
    """How a body is compressed. bRPC has a number for LZ4, but no code for it."""

    NONE = 0
    SNAPPY = 1
    """Fast, and compresses least. Needs `pip install 'pybrpc[snappy]'`."""
    GZIP = 2
    ZLIB = 3
    """Like GZIP, with 12 bytes less."""
    LZ4 = 4


@dataclass(frozen=True, slots=True)
class CompressHandler:
    """One way to compress. After bRPC's `CompressHandler`."""

    name: str
    compress: Callable[[bytes], bytes]
    decompress: Callable[[BytesLike, int], bytes | bytearray]
    """Takes a body and the limit of the result in bytes. Raises BodyError."""


def compress(body: bytes, compress_type: int) -> bytes:
    """`body`, compressed. BodyError if the type is not supported here."""
    return _handler_of(compress_type).compress(body)


def decompress(body: BytesLike, compress_type: int, limit_bytes: int) -> bytes | bytearray:
    """`body`, decompressed; BodyError if it is damaged or becomes more than `limit_bytes`."""
    return _handler_of(compress_type).decompress(body, limit_bytes)


def compress_name(compress_type: int) -> str:
    """The name that bRPC prints; "unknown" if there is no handler."""
    if not compress_type:
        return "none"
    handler = _HANDLERS.get(compress_type)
    return "unknown" if handler is None else handler.name


def can_compress(compress_type: int) -> bool:
    """Whether bodies may have that type; the package that it needs may be missing."""
    return not compress_type or compress_type in _HANDLERS


def as_compress_type(number: int) -> int:
    """The CompressType with that number, or the number itself if there is none."""
    return _TYPES.get(number, number)


def _handler_of(compress_type: int) -> CompressHandler:
    handler = _HANDLERS.get(compress_type)
    if handler is None:
        known = "CompressType.SNAPPY, GZIP and ZLIB"
        raise BodyError(f"compress_type={compress_type} is not supported; {known} are")
    return handler


def _deflate(wbits: int, body: bytes) -> bytes:
    return zlib.compress(body, wbits=wbits)


def _inflate(wbits: int, body: BytesLike, limit_bytes: int) -> bytes:
    pieces: list[bytes] = []
    room = limit_bytes
    streams = 1
    inflater = zlib.decompressobj(wbits)
    for start in range(0, len(body), STEP_SIZE):
        rest: BytesLike = memoryview(body)[start : start + STEP_SIZE]
        while rest:
            if inflater.eof:
                streams = _count_stream(streams)
                inflater = zlib.decompressobj(wbits)
            piece = _inflate_step(inflater, rest, room + 1)
            room -= len(piece)
            if room < 0:
                raise _too_large(limit_bytes)
            pieces.append(piece)
            rest = inflater.unused_data
    if body and not inflater.eof:
        raise BodyError("the compressed body is cut short")
    return b"".join(pieces)


def _inflate_step(inflater: zlib._Decompress, data: BytesLike, max_bytes: int) -> bytes:
    try:
        return inflater.decompress(data, max_bytes)
    except zlib.error as error:
        raise BodyError(f"the compressed body is damaged: {error}") from None


def _count_stream(streams: int) -> int:
    if streams == MAX_STREAMS:
        raise BodyError(f"the compressed body has more than {MAX_STREAMS} streams")
    return streams + 1


def _snap(body: bytes) -> bytes:
    try:
        from cramjam import snappy
    except ImportError:
        raise BodyError.of_missing("snappy", "snappy") from None
    return bytes(snappy.compress_raw(body))


def _unsnap(body: BytesLike, limit_bytes: int) -> bytearray:
    try:
        from cramjam import DecompressionError, snappy
    except ImportError:
        raise BodyError.of_missing("snappy", "snappy") from None
    try:
        size = snappy.decompress_raw_len(body)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        if size > MAX_SNAPPY_RATIO * len(body):
            raise BodyError(
                f"{len(body)} bytes of snappy data declare an impossible size of {size} bytes"
            )
        plain = bytearray(size)
        snappy.decompress_raw_into(body, plain)
    except DecompressionError as error:
        raise BodyError(f"the compressed body is damaged: {error}") from None
    return plain


def _too_large(limit_bytes: int) -> BodyError:
    return BodyError(f"the decompressed body is larger than max_body_size={limit_bytes}")


_HANDLERS: dict[int, CompressHandler] = {
    CompressType.SNAPPY: CompressHandler("snappy", _snap, _unsnap),
    CompressType.GZIP: CompressHandler(
        "gzip", functools.partial(_deflate, _GZIP_WBITS), functools.partial(_inflate, _GZIP_WBITS)
    ),
    CompressType.ZLIB: CompressHandler(
        "zlib", functools.partial(_deflate, _ZLIB_WBITS), functools.partial(_inflate, _ZLIB_WBITS)
    ),
}

_TYPES: dict[int, CompressType] = {int(kind): kind for kind in CompressType}
