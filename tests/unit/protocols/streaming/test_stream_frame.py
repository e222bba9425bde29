"""StreamFrame, and the bytes of packed frames."""

from __future__ import annotations

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.streaming.stream_frame import (
    NO_STREAM,
    SMALL_SIZE,
    FrameType,
    StreamFrame,
    append_data,
    data_meta,
    pack_close,
    pack_data,
    pack_feedback,
    pack_rst,
)


def test_frames_of_the_recording() -> None:
    """As C++ bRPC has sent them; both ids are 0 there."""
    meta = bytes.fromhex("08001000180320 00")
    assert data_meta(0, 0) == meta
    assert bytes(pack_data(meta, b"msg0")) == b"STRM\0\0\0\x0c\0\0\0\x08" + meta + b"msg0"
    assert pack_feedback(0, 0, 9) == b"STRM\0\0\0\x0a\0\0\0\x0a" + bytes.fromhex(
        "080010001804 2a020809"
    )
    assert pack_close(0, 0) == b"STRM\0\0\0\x06\0\0\0\x06" + bytes.fromhex("080010001802")
    assert pack_rst(0) == b"STRM\0\0\0\x04\0\0\0\x04" + bytes.fromhex("08001801")


def test_continued_data() -> None:
    assert data_meta(1, 2, has_continuation=True) == bytes.fromhex("08011002180320 01")


@pytest.mark.parametrize("size", [0, SMALL_SIZE, SMALL_SIZE + 1, 100_000])
@pytest.mark.parametrize("kind", [bytes, bytearray, IOBuf])
def test_data_of_any_size_and_kind(size: int, kind: type) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    frames = IOBuf(b"before")
    append_data(frames, b"meta", kind(data))
    head = b"STRM" + (size + 4).to_bytes(4, "big") + b"\0\0\0\x04meta"
    assert bytes(frames) == b"before" + head + data


def test_negative_ids_have_ten_bytes() -> None:
    assert pack_rst(-1)[12:] == b"\x08" + b"\xff" * 9 + b"\x01\x18\x01"


def test_frame_is_a_message_of_no_call() -> None:
    frame = StreamFrame(5)
    assert (frame.correlation_id, frame.is_request) == (0, False)
    assert (frame.source_stream_id, frame.frame_type) == (NO_STREAM, FrameType.DATA)


def test_frames_are_equal_by_their_fields() -> None:
    assert StreamFrame(1, 2) == StreamFrame(1, 2)
    assert StreamFrame(1, 2) != StreamFrame(1, 3)
    assert StreamFrame(1) != 1
    with pytest.raises(TypeError):
        hash(StreamFrame(1))


def test_description() -> None:
    assert repr(StreamFrame(1, 2, FrameType.CLOSE)) == "<StreamFrame CLOSE to 1 from 2, 0 bytes>"
    assert repr(StreamFrame(1, 2, 99, b"x")) == "<StreamFrame type 99 to 1 from 2, 1 bytes>"
