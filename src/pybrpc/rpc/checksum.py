"""Checksums of bodies, with the numbers of bRPC's `ChecksumType`.

A checksum covers the body as it is sent (compressed before), and the attachment after it if
`checksum_with_attachment` is set. bRPC has one type, CRC-32C (Castagnoli), "masked" as in LevelDB,
so that data which contains its own checksum is still well protected: it is rotated, and a constant
is added; 4 bytes in network order. Source: src/brpc/policy/crc32c_checksum.cpp, src/butil/crc32c.h.

The package crc32c computes it, and is imported when it is first needed. C++ sends and accepts
bodies with an unknown type of checksum, without a check; here that is an error.
"""

from __future__ import annotations

import enum
import struct

from pybrpc.iobuf import BytesLike, IOBuf
from pybrpc.rpc.body_error import BodyError

_MASK_DELTA = 0xA282EAD8
_VALUE = struct.Struct("!I")


class ChecksumType(enum.IntEnum):
    """The kind of checksum of a body."""

    NONE = 0
    CRC32C = 1
    """Needs `pip install 'pybrpc[crc32c]'`."""


def compute_checksum(checksum_type: int, body: BytesLike, attachment: IOBuf | None = None) -> bytes:
    """The checksum of `body`, and of `attachment` if it is given.

    BodyError if the type is not supported here. Nothing is copied.
    """
    if checksum_type != _CRC32C:
        raise BodyError(f"checksum_type={checksum_type} is not supported; ChecksumType.CRC32C is")
    return _VALUE.pack(_mask(_crc32c(body, attachment)))


def verify_checksum(
    checksum_type: int, value: bytes, body: BytesLike, attachment: IOBuf | None = None
) -> None:
    """BodyError if `value` is not the result of `compute_checksum`."""
    expected = compute_checksum(checksum_type, body, attachment)
    if value != expected:
        raise BodyError(
            f"the checksum is {value.hex()!r}, but that of the received bytes is {expected.hex()!r}"
        )


def checksum_name(checksum_type: int) -> str:
    """The name that bRPC prints."""
    return _NAMES.get(checksum_type, "unknown")


def as_checksum_type(number: int) -> int:
    """The ChecksumType with that number, or the number itself if there is none."""
    return _TYPES.get(number, number)


def _crc32c(body: BytesLike, attachment: IOBuf | None) -> int:
    try:
        from crc32c import crc32c
    except ImportError:
        raise BodyError.of_missing("crc32c", "crc32c") from None
    crc = crc32c(body)
    for block in attachment or ():
        crc = crc32c(block, crc)
    return crc


def _mask(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


_CRC32C = int(ChecksumType.CRC32C)
_NAMES: dict[int, str] = {ChecksumType.NONE: "none", ChecksumType.CRC32C: "crc32c"}
_TYPES: dict[int, ChecksumType] = {int(kind): kind for kind in ChecksumType}
