"""The reader of RTMP that judges others: the forms that no recording has."""

from __future__ import annotations

import struct

import pytest

from tests.oracles.rtmp_chunks import AUDIO, SET_CHUNK_SIZE, amf0_values, messages_of


def chunk(form: int, number: int, header: bytes, payload: bytes) -> bytes:
    assert 2 <= number < 64
    return bytes([form << 6 | number]) + header + payload


def full_header(time: int, size: int, kind: int = AUDIO, stream_id: int = 1) -> bytes:
    return time.to_bytes(3) + size.to_bytes(3) + bytes([kind]) + struct.pack("<I", stream_id)


def read(data: bytes) -> list[tuple[int, int, bytes]]:
    return [(m.chunk_stream, m.timestamp_ms, m.payload) for m in messages_of(data, 0)]


def test_extended_timestamp_follows_each_chunk_of_its_message() -> None:
    extra = struct.pack(">I", 2**24 + 5)
    first = chunk(0, 5, full_header(0xFFFFFF, 130) + extra, b"a" * 128)
    assert read(first + chunk(3, 5, extra, b"bc")) == [(5, 2**24 + 5, b"a" * 128 + b"bc")]


def test_messages_of_two_chunk_streams_interleave() -> None:
    first, second = full_header(7, 129), full_header(9, 1)
    data = chunk(0, 5, first, b"a" * 128) + chunk(0, 6, second, b"b") + chunk(3, 5, b"", b"c")
    assert read(data) == [(6, 9, b"b"), (5, 7, b"a" * 128 + b"c")]


def test_long_numbers_of_chunk_streams() -> None:
    header = full_header(0, 1)
    assert read(b"\x00\x06" + header + b"a") == [(70, 0, b"a")]
    assert read(b"\x01\x06\x01" + header + b"a") == [(326, 0, b"a")]


def test_chunk_size_changes_with_the_next_chunk() -> None:
    announced = chunk(0, 2, full_header(0, 4, SET_CHUNK_SIZE, 0), (2).to_bytes(4))
    data = announced + chunk(0, 5, full_header(0, 3), b"ab") + chunk(3, 5, b"", b"c")
    assert read(data)[1:] == [(5, 0, b"abc")]


def test_deltas_add_to_the_time() -> None:
    begin = chunk(0, 5, full_header(10, 1), b"a")
    deltas = chunk(2, 5, (3).to_bytes(3), b"b") + chunk(3, 5, b"", b"c")
    assert [time for _, time, _ in read(begin + deltas)] == [10, 13, 16]


def test_incomplete_message_is_left_out() -> None:
    whole = chunk(0, 5, full_header(10, 2), b"ab")
    assert all(read(whole[:size]) == [] for size in range(len(whole)))


def test_header_inside_a_message_is_refused() -> None:
    data = chunk(0, 5, full_header(0, 129), b"a" * 128)
    with pytest.raises(ValueError, match="inside another one"):
        read(data + data)


def test_chunk_stream_that_begins_without_a_size_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with a chunk of format 2"):
        read(chunk(2, 5, b"\0\0\0", b"a"))


def test_values_of_amf0() -> None:
    number, text = b"\0" + struct.pack(">d", 1.5), b"\x02\0\1x"
    members = b"\0\1n" + number + b"\0\0\x09"
    data = number + text + b"\1\1\5\6" + b"\3" + members + b"\x08\0\0\0\1" + members
    assert amf0_values(data) == [1.5, "x", True, None, None, {"n": 1.5}, {"n": 1.5}]
    assert amf0_values(b"\x0a\0\0\0\2" + text + number) == [["x", 1.5]]
    with pytest.raises(ValueError, match="unknown type 17"):
        amf0_values(b"\x11")
