"""The parser of stream frames: whole and cut, wrong in every way."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.protocol import NEED_MORE, NOT_MINE, Broken, ParseLimits
from pybrpc.protocols.streaming.stream_frame import (
    CLOSE,
    DATA,
    FEEDBACK,
    RST,
    StreamFrame,
    data_meta,
    pack_close,
    pack_data,
    pack_feedback,
    pack_rst,
)
from pybrpc.protocols.streaming.streaming_rpc import MAX_META_SIZE, StreamingRpc

PARSER = StreamingRpc()
LARGE = (1 << 63) - 1

FRAMES = [
    (bytes(pack_data(data_meta(1, 2), b"data")), StreamFrame(1, 2, DATA, b"data")),
    (bytes(pack_data(data_meta(1, 2, True), b"")), StreamFrame(1, 2, DATA, b"", True)),
    (bytes(pack_data(data_meta(0, 0), bytes(9000))), StreamFrame(0, 0, DATA, bytes(9000))),
    (
        pack_feedback(LARGE, -LARGE, LARGE),
        StreamFrame(LARGE, -LARGE, FEEDBACK, consumed_size=LARGE),
    ),
    (pack_feedback(1, 2, -5), StreamFrame(1, 2, FEEDBACK, consumed_size=-5)),
    (pack_close(-1, 300), StreamFrame(-1, 300, CLOSE)),
    (pack_rst(7), StreamFrame(7, frame_type=RST)),
]


def parse(data: bytes, limit: int = 1 << 20) -> Any:
    return PARSER.parse(IOBuf(data), ParseLimits(limit))


@pytest.mark.parametrize(("data", "frame"), FRAMES)
def test_frame(data: bytes, frame: StreamFrame) -> None:
    buffer = IOBuf(data + b"next")
    assert PARSER.parse(buffer, ParseLimits()) == frame
    assert bytes(buffer) == b"next"


@pytest.mark.parametrize(("data", "frame"), FRAMES)
def test_cut_frame_needs_more(data: bytes, frame: StreamFrame) -> None:
    for size in range(1, min(len(data), 40)):
        buffer = IOBuf(data[:size])
        assert PARSER.parse(buffer, ParseLimits()) is NEED_MORE
        wanted = PARSER.bytes_wanted(buffer, ParseLimits())
        assert wanted == (len(data) if size >= 12 else 12) - size
        assert len(buffer) == size


@pytest.mark.parametrize("data", [b"P", b"PRPC", b"SORM", b"SOFA" + bytes(20), b"strm" + bytes(8)])
def test_other_bytes_are_not_mine(data: bytes) -> None:
    assert parse(data) is NOT_MINE


def strm(meta: bytes, data: bytes = b"", body: int | None = None, meta_size: int = -1) -> bytes:
    body_size = len(meta) + len(data) if body is None else body
    size = len(meta) if meta_size < 0 else meta_size
    return struct.pack(">4sII", b"STRM", body_size, size) + meta + data


def test_unknown_fields_are_skipped() -> None:
    more = (
        b"\x30\x01" + b"\x3a\x02hi" + b"\x41" + bytes(8) + b"\x4d" + bytes(4) + b"\x2a\x02\x10\x07"
    )
    assert parse(strm(b"\x08\x01\x18\x02" + more)) == StreamFrame(1, frame_type=CLOSE)


def test_known_fields_of_another_type_are_skipped() -> None:
    meta = b"\x08\x01" + b"\x12\x00" + b"\x1d" + bytes(4) + b"\x28\x05"
    assert parse(strm(meta)) == StreamFrame(1, frame_type=0)


def test_fields_within_the_feedback_are_of_the_feedback() -> None:
    meta = b"\x08\x01\x10\x02\x18\x04\x2a\x04\x08\x05\x10\x63"
    assert parse(strm(meta)) == StreamFrame(1, 2, FEEDBACK, consumed_size=5)


def test_the_last_of_a_field_counts() -> None:
    assert parse(strm(b"\x08\x01\x08\x02\x18\x01\x18\x02")) == StreamFrame(2, frame_type=CLOSE)


def test_type_of_no_kind() -> None:
    assert parse(strm(b"\x08\x01\x18\x7f")).frame_type == 127
    assert parse(strm(b"\x08\x01")).frame_type == 0


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        (b"", "no stream_id"),
        (b"\x18\x03", "no stream_id"),
        (b"\x08", "cut off"),
        (b"\x08\xff", "cut off"),
        (b"\x08" + b"\xff" * 11, "cut off"),
        (b"\x08\x01\x3a\x05hi", "cut off"),
        (b"\x08\x01\x41\x00", "cut off"),
        (b"\x08\x01\x4d\x00", "cut off"),
        (b"\x08\x01\x13", "wire type 3"),
        (b"\x08\x01\x16", "wire type 6"),
        (b"\x08\x01\x00\x01", "field 0"),
        (b"\x08\x01\x2a\x02\x0a\x00", "feedback"),
        (b"\x08\x01\x2a\x02\x00\x01", "feedback"),
        (b"\x08\x01\x2a\x01\x08", "cut off"),
        (b"\x08\x01\x2a\x05", "cut off"),
        (b"\x08\x01\x2a\x2a\x2a\x2a", "cut off"),
        (b"\x08\x01\x18\x2a\x2a\x2a\x2a\x2a\x2a", "cut off"),
    ],
)
def test_meta_that_makes_no_sense(meta: bytes, words: str) -> None:
    outcome = parse(strm(meta))
    assert isinstance(outcome, Broken)
    assert words in outcome.reason


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (strm(b"\x08\x01", meta_size=3), "bigger than body_size=2"),
        (strm(b"", body=1000, meta_size=MAX_META_SIZE + 1), "exceeds 256"),
        (strm(b"\x08\x01", body=1001), "larger than max_body_size=1000"),
    ],
)
def test_sizes_that_are_refused_before_the_rest_comes(data: bytes, words: str) -> None:
    outcome = parse(data[:12], limit=1000)
    assert isinstance(outcome, Broken)
    assert words in outcome.reason


def test_sizes_of_just_the_limits() -> None:
    meta = b"\x08\x01" + b"\x3a\xfb\x01" + bytes(251)
    assert len(meta) == MAX_META_SIZE
    assert isinstance(parse(strm(meta, bytes(1000 - MAX_META_SIZE)), limit=1000), StreamFrame)
    assert parse(strm(b"\x08\x01", body=1000), limit=1000) is NEED_MORE


def test_nothing_is_wanted_of_what_is_refused() -> None:
    limits = ParseLimits(1000)
    for data in (b"PRPC" + bytes(8), strm(b"", body=2000), strm(b"", body=1, meta_size=2)):
        assert PARSER.bytes_wanted(IOBuf(data), limits) == 0
    assert (PARSER.name, PARSER.magic) == ("streaming_rpc", b"STRM")
