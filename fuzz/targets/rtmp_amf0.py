"""AMF0: bytes are values or refused, values are within the limits, and written so that the same
values are read again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fuzz.fuzz_target import FuzzTarget, assert_says
from pybrpc.protocols.rtmp.amf0 import (
    MAX_DEPTH,
    UNDEFINED,
    AmfDate,
    AmfError,
    AmfReader,
    EcmaArray,
    TypedObject,
    decode,
    encode,
)

END = b"\0\0\x09"


def check(data: bytes) -> None:
    try:
        values = decode(data)
    except AmfError as error:
        assert_says(error)
        _check_beginning(data)
        return
    # Each value but those of an object's end has one byte of its own at least.
    assert _count(values, 0) <= len(data)
    again = encode(*values)
    assert encode(*decode(again)) == again


def _count(values: Any, depth: int) -> int:
    """Values inside `values`, none of which is nested deeper than allowed."""
    assert depth <= MAX_DEPTH
    inside = values.values() if isinstance(values, dict) else values
    count = 0
    for value in inside:
        is_container = isinstance(value, dict | list)
        count += 1 + (_count(value, depth + 1) if is_container else 0)
        assert is_container or isinstance(value, str | float | bool | AmfDate) or not value
    return count


def _check_beginning(data: bytes) -> None:
    """The values before the error are whole, and it comes where `decode` has found it."""
    reader, read = AmfReader(data), []
    try:
        while True:
            read.append(reader.read())
    except AmfError as error:
        assert_says(error)
    again = encode(*read)
    assert encode(*decode(again)) == again


def seeds() -> Iterator[bytes]:
    meta = EcmaArray(width=1280.0, stereo=True, encoder="pybrpc")
    yield encode("connect", 1, {"app": "live", "tcUrl": "rtmp://h/live", "n": None})
    yield encode("@setDataFrame", "onMetaData", meta)
    yield encode([1, "a", [UNDEFINED, AmfDate(1e12)]], TypedObject("C", {"a": meta}))
    yield encode("x" * 66_000)
    yield b"\x07\0\1\x0d\x0f\0\0\0\2<>\x08\0\0\0\1\0\1a\5"
    yield b"\x0a\0\0\0\1" * 33 + b"\5"
    yield b"\x03\0\1a" * 32 + b"\5" + END * 32


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(
        *(END, b"\x03\0\1a", b"\x0a\0\0\0\1", b"\x08\0\0\0\1\0\1b", b"\x10\0\1C", b"\x0c\0\0\0\3"),
        *(b"\x02\0\3abc", b"\x0b" + bytes(10), b"\x00\x7f\xf8\0\0\0\0\0\0", b"\x02\0\1\xff"),
    ),
    max_bytes=2000,
)
