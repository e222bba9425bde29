"""murmur3_x86_32: a hash of 32 bits, by the package mmh3 if it is installed (`pybrpc[murmur3]`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MASK = 0xFFFFFFFF


def murmur3_of(data: bytes) -> int:
    """MurmurHash3_x86_32 with the seed 0, in this module's own code."""
    value = 0
    size = len(data)
    whole = size - size % 4
    for place in range(0, whole, 4):
        block = (
            data[place] | data[place + 1] << 8 | data[place + 2] << 16 | data[place + 3] << 24
        ) * 0xCC9E2D51 & _MASK
        block = (block << 15 | block >> 17) & _MASK
        value ^= block * 0x1B873593 & _MASK
        value = (value << 13 | value >> 19) & _MASK
        value = (value * 5 + 0xE6546B64) & _MASK
    block = 0
    for place in range(size - 1, whole - 1, -1):
        block = block << 8 | data[place]
    if size > whole:
        block = block * 0xCC9E2D51 & _MASK
        block = (block << 15 | block >> 17) & _MASK
        value ^= block * 0x1B873593 & _MASK
    value ^= size
    value ^= value >> 16
    value = value * 0x85EBCA6B & _MASK
    value ^= value >> 13
    value = value * 0xC2B2AE35 & _MASK
    return value ^ value >> 16


def _fastest() -> Callable[[bytes], int]:
    try:
        import mmh3  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return murmur3_of
    return lambda data: int(mmh3.hash(data, 0, signed=False))


_hash: Any = _fastest()


def murmur3_x86_32(data: bytes) -> int:
    """MurmurHash3_x86_32 with the seed 0: from 0 to 2**32 - 1."""
    hashed: int = _hash(data)
    return hashed
