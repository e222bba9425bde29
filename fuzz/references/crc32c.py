"""CRC-32C bit by bit, and LevelDB's mask."""

from __future__ import annotations


def _step(crc: int) -> int:
    return crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)


def _entry(index: int) -> int:
    for _ in range(8):
        index = _step(index)
    return index


_TABLE = [_entry(index) for index in range(256)]


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    """As it travels."""
    crc = crc32c(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return ((rotated + 0xA282EAD8) % 2**32).to_bytes(4, "big")
