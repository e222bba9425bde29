"""AMF0: the bytes of each type, the limits, and malformed bytes."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest

from pybrpc.protocols.rtmp.amf0 import (
    MAX_DEPTH,
    MAX_VALUES,
    UNDEFINED,
    AmfDate,
    AmfError,
    AmfReader,
    EcmaArray,
    TypedObject,
    decode,
    encode,
)

ONE = b"\x00\x3f\xf0\x00\x00\x00\x00\x00\x00"
END = b"\x00\x00\x09"

EXAMPLES = [
    (1.0, ONE),
    (True, b"\x01\x01"),
    (False, b"\x01\x00"),
    ("live", b"\x02\x00\x04live"),
    ({"a": 1.0}, b"\x03\x00\x01a" + ONE + END),
    ({"": None}, b"\x03\x00\x00\x05" + END),
    (None, b"\x05"),
    (UNDEFINED, b"\x06"),
    (EcmaArray(b=True), b"\x08\x00\x00\x00\x01\x00\x01b\x01\x01" + END),
    ([None, "x"], b"\x0a\x00\x00\x00\x02\x05\x02\x00\x01x"),
    (AmfDate(1.0, -60), b"\x0b" + ONE[1:] + b"\xff\xc4"),
    ("y" * 65_536, b"\x0c\x00\x01\x00\x00" + b"y" * 65_536),
    (TypedObject("C", {"d": None}), b"\x10\x00\x01C\x00\x01d\x05" + END),
]


@pytest.mark.parametrize(("value", "data"), EXAMPLES, ids=lambda each: type(each).__name__)
def test_value_has_the_bytes_of_its_type(value: Any, data: bytes) -> None:
    assert encode(value) == data
    (decoded,) = decode(data)
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(("value", "data"), EXAMPLES, ids=lambda each: type(each).__name__)
def test_every_beginning_of_a_value_is_an_error(value: Any, data: bytes) -> None:
    sizes = set(range(1, min(len(data), 40)))
    if isinstance(value, EcmaArray):
        sizes.remove(len(data) - len(END))  # its end marker may be missing
    for size in sizes:
        with pytest.raises(AmfError):
            decode(data[:size])


def test_values_follow_one_another() -> None:
    assert decode(encode("connect", 1, None, [], ())) == ["connect", 1.0, None, [], []]
    assert decode(b"") == []


def test_reader_tells_where_the_next_value_is() -> None:
    reader = AmfReader(encode("a") + encode(2), at=0)
    assert reader.read() == "a"
    assert reader.at == 4
    assert reader.read() == 2.0
    assert reader.is_at_end()


@pytest.mark.parametrize(
    "data", [b"\x07\x00\x01", b"\x0d", b"\x0f\x00\x00\x00\x02<>"], ids=["ref", "unsupported", "xml"]
)
def test_reference_unsupported_and_xml_are_read_and_dropped(data: bytes) -> None:
    assert decode(data + ONE) == [UNDEFINED, 1.0]
    assert decode(b"\x03\x00\x01a" + data + END) == [{"a": UNDEFINED}]


@pytest.mark.parametrize("marker", [0x04, 0x09, 0x0E, 0x11, 0x12, 0xFF])
def test_other_markers_are_an_error(marker: int) -> None:
    with pytest.raises(AmfError, match=f"{marker:#04x}"):
        decode(bytes((marker,)) + bytes(20))


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert decode(b"\x02\x00\x03a\xffb") == ["a\ufffdb"]
    assert encode("a\ud800") == b"\x02\x00\x02a?"


def test_last_of_two_members_with_one_name_counts() -> None:
    assert decode(b"\x03\x00\x01a\x05\x00\x01a\x01\x01" + END) == [{"a": True}]


def test_count_of_an_ecma_array_is_a_hint() -> None:
    entries = b"\x00\x01a\x05\x00\x01b\x05"
    for count in (0, 1, 3):
        data = b"\x08" + struct.pack(">I", count) + entries + END
        assert decode(data + ONE) == [{"a": None, "b": None}, 1.0]


def test_ecma_array_at_the_end_needs_no_end_marker() -> None:
    assert decode(b"\x08\x00\x00\x00\x01\x00\x01a\x05") == [{"a": None}]
    with pytest.raises(AmfError):
        decode(b"\x08\x00\x00\x00\x02\x00\x01a\x05" + b"\x00")


@pytest.mark.parametrize(
    "data",
    [
        b"\x02\xff\xffshort",
        b"\x0c\x7f\xff\xff\xff" + bytes(100),
        b"\x0f\xff\xff\xff\xff" + bytes(100),
        b"\x08\xff\xff\xff\xff" + bytes(100),
        b"\x0a\xff\xff\xff\xff" + bytes(100),
        b"\x0a\x00\x00\x00\x65" + b"\x05" * 100,
        b"\x10\xff\xff" + bytes(100),
    ],
    ids=["string", "long string", "xml", "ecma array", "strict array", "by one", "class name"],
)
def test_declared_size_beyond_the_bytes_is_an_error(data: bytes) -> None:
    with pytest.raises(AmfError):
        decode(data)


NESTED = [
    (b"\x0a\x00\x00\x00\x01", b"\x05", b""),
    (b"\x03\x00\x01a", b"\x05", END),
    (b"\x08\x00\x00\x00\x01\x00\x01a", b"\x05", END),
    (b"\x10\x00\x01C\x00\x01a", b"\x05", END),
]


@pytest.mark.parametrize(
    ("head", "core", "tail"), NESTED, ids=["strict", "object", "ecma", "typed"]
)
def test_depth_is_limited(head: bytes, core: bytes, tail: bytes) -> None:
    assert len(decode(head * MAX_DEPTH + core + tail * MAX_DEPTH)) == 1
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(AmfError, match="nested deeper than 32"):
            decode(head * depth + core + tail * depth)


def test_number_of_values_is_limited() -> None:
    assert len(decode(b"\x05" * MAX_VALUES)) == MAX_VALUES
    with pytest.raises(AmfError, match="more than 65536 values"):
        decode(b"\x0a\x00\x01\x00\x00" + b"\x05" * MAX_VALUES)


def test_encoder_refuses_a_circle() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(AmfError, match="nested deeper than 32"):
        encode(circle)


@pytest.mark.parametrize(
    "value", [10**400, {"n" * 65_536: 1}, AmfDate(0, 1 << 15), AmfDate(10**400)]
)
def test_encoder_refuses_what_does_not_fit(value: Any) -> None:
    with pytest.raises(AmfError):
        encode(value)


@pytest.mark.parametrize("value", [b"bytes", object(), {1: 2}])
def test_encoder_refuses_other_types(value: Any) -> None:
    with pytest.raises(TypeError):
        encode(value)


def test_numbers_that_are_not_finite_pass() -> None:
    nan, infinite = decode(encode(math.nan, -math.inf))
    assert math.isnan(nan)
    assert infinite == -math.inf


def test_values_have_a_repr_and_undefined_is_false() -> None:
    assert repr(UNDEFINED) == "UNDEFINED"
    assert not UNDEFINED
    assert repr(TypedObject("C", {"a": 1})) == "TypedObject('C', {'a': 1})"
    assert TypedObject("C") != TypedObject("D")
    assert TypedObject("C") != {}
