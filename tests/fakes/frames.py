"""Numbered frames: what a producer writes, and what a peer got of each producer."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

HEADER = struct.Struct("!HIH")


def frame(producer: int, number: int, size: int = 0) -> bytes:
    """A numbered frame whose filling says whether it was torn."""
    return HEADER.pack(producer, number, size) + bytes([producer + 1]) * size


def frames_of(data: bytes) -> Iterator[tuple[int, int]]:
    """(producer, number) of every whole frame; a torn one is an error, a cut last one is not."""
    at = 0
    while len(data) - at >= HEADER.size:
        producer, number, size = HEADER.unpack_from(data, at)
        at += HEADER.size
        filling = data[at : at + size]
        assert filling == bytes([producer + 1]) * len(filling), f"torn frame at byte {at}"
        if len(filling) < size:
            return
        at += size
        yield producer, number


def by_producer(frames: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for producer, number in frames:
        found.setdefault(producer, []).append(number)
    return found
