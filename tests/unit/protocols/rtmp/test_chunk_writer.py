"""ChunkWriter: headers, extended timestamps, and which bytes are shared."""

from __future__ import annotations

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.rtmp.chunk_reader import ChunkReader
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.message import (
    AUDIO,
    SET_CHUNK_SIZE,
    VIDEO,
    RtmpMessage,
    ack,
    set_chunk_size,
)
from tests.fakes.rtmp_chunks import chunk, control, more, read_all

BODY = bytes(range(256)) * 2


def written(writer: ChunkWriter, *messages: RtmpMessage, chunk_stream_id: int = 6) -> bytes:
    frames = IOBuf()
    for message in messages:
        writer.append(frames, message, chunk_stream_id)
    return bytes(frames)


def video(payload: bytes, time: int, kind: int = VIDEO, stream_id: int = 1) -> RtmpMessage:
    return RtmpMessage(kind, payload, stream_id, time)


def test_control_message_is_on_chunk_stream_2() -> None:
    frames = IOBuf()
    ChunkWriter().append(frames, ack(5))
    assert bytes(frames) == control(3, 5)


def test_headers_are_as_short_as_is_legal() -> None:
    messages = [
        video(b"aaa", 1000),
        video(b"bbb", 1040),
        video(b"ccc", 1080),
        video(b"dddd", 1080),
        video(b"dddd", 1080, AUDIO),
        video(b"eeee", 1079, AUDIO),
        video(b"ffff", 1079, AUDIO, stream_id=2),
    ]
    assert written(ChunkWriter(), *messages) == b"".join(
        [
            chunk(0, 6, b"aaa", time=1000),
            chunk(2, 6, b"bbb", time=40),
            chunk(2, 6, b"ccc", time=40),
            chunk(1, 6, b"dddd"),
            chunk(1, 6, b"dddd", kind=AUDIO),
            chunk(0, 6, b"eeee", time=1079, kind=AUDIO),
            chunk(0, 6, b"ffff", time=1079, kind=AUDIO, stream_id=2),
        ]
    )


def test_each_chunk_stream_has_its_own_headers() -> None:
    writer = ChunkWriter()
    assert written(writer, video(b"a", 1), chunk_stream_id=4) == chunk(0, 4, b"a", time=1)
    assert written(writer, video(b"a", 2), chunk_stream_id=6) == chunk(0, 6, b"a", time=2)
    assert written(writer, video(b"a", 3), chunk_stream_id=4) == chunk(2, 4, b"a", time=2)


@pytest.mark.parametrize("chunk_stream_id", [2, 63, 64, 319, 320, 65_599])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 256, 257])
def test_message_is_cut_into_chunks(chunk_stream_id: int, size: int) -> None:
    wire = written(ChunkWriter(), video(BODY[:size], 5), chunk_stream_id=chunk_stream_id)
    expected = chunk(0, chunk_stream_id, BODY[: min(size, 128)], time=5, length=size)
    for at in range(128, size, 128):
        expected += more(chunk_stream_id, BODY[at : min(at + 128, size)])
    assert wire == expected


def test_extended_time_is_in_all_chunks_of_a_message() -> None:
    for time in (0xFFFFFF, 0x1000005, 0xFFFFFFFF):
        wire = written(ChunkWriter(), video(BODY[:300], time))
        expected = chunk(0, 6, BODY[:128], time=time, length=300)
        assert wire == expected + more(6, BODY[128:256], time) + more(6, BODY[256:300], time)


def test_time_below_the_edge_is_not_extended() -> None:
    wire = written(ChunkWriter(), video(BODY[:200], 0xFFFFFE))
    assert wire == chunk(0, 6, BODY[:128], time=0xFFFFFE, length=200) + more(6, BODY[128:200])


def test_small_delta_beyond_4_hours_38_minutes_is_not_extended() -> None:
    start = 0xFFFFFF - 20
    wire = written(ChunkWriter(), *(video(b"abc", start + 40 * step) for step in range(3)))
    expected = chunk(0, 6, b"abc", time=start) + chunk(2, 6, b"abc", time=40) * 2
    assert wire == expected


def test_large_delta_is_written_as_a_time() -> None:
    wire = written(ChunkWriter(), video(b"abc", 5), video(b"abc", 5 + 0xFFFFFE))
    assert wire == chunk(0, 6, b"abc", time=5) + chunk(2, 6, b"abc", time=0xFFFFFE)
    wire = written(ChunkWriter(), video(b"abc", 5), video(b"abc", 5 + 0xFFFFFF))
    assert wire == chunk(0, 6, b"abc", time=5) + chunk(0, 6, b"abc", time=5 + 0xFFFFFF)


def test_time_that_wraps_is_written_as_a_time() -> None:
    start = (1 << 32) - 10
    messages = [video(b"abc", start), video(b"abc", (start + 40) & 0xFFFFFFFF)]
    wire = written(ChunkWriter(), *messages)
    assert wire == chunk(0, 6, b"abc", time=start) + chunk(0, 6, b"abc", time=30)
    wire = written(ChunkWriter(), video(b"abc", start + 40), video(b"abc", start + 80))
    assert wire == chunk(0, 6, b"abc", time=30) + chunk(2, 6, b"abc", time=40)


def test_chunk_size_holds_behind_its_message() -> None:
    writer = ChunkWriter()
    wire = written(writer, set_chunk_size(2), video(b"abc", 0), chunk_stream_id=2)
    assert wire == control(SET_CHUNK_SIZE, 2) + chunk(0, 2, b"ab", length=3) + more(2, b"c")
    assert writer.chunk_size == 2


def test_large_parts_are_shared() -> None:
    payload = bytes(10_000)
    writer = ChunkWriter()
    written(writer, set_chunk_size(4096))
    frames = IOBuf()
    writer.append(frames, video(payload, 0), 6)
    blocks = [block for block in frames if len(block) > 20]
    assert [len(block) for block in blocks] == [4096, 4096, 1808]
    assert all(block.obj is payload for block in blocks)
    written(writer, set_chunk_size(60_000))
    frames = IOBuf()
    writer.append(frames, video(payload, 0), 6)
    assert [block.obj is payload for block in frames] == [False, True]


@pytest.mark.parametrize("chunk_size", [8, 100, 4095, 4096, 5000, 60_000])
def test_reader_reads_what_is_written(chunk_size: int) -> None:
    messages = [video(BODY * 40, time, stream_id=each) for each, time in enumerate((0, 1 << 24, 9))]
    wire = written(ChunkWriter(), set_chunk_size(chunk_size), *messages)
    assert read_all(ChunkReader(), [wire]) == messages


@pytest.mark.parametrize("chunk_stream_id", [-1, 0, 1, 65_600])
def test_wrong_chunk_stream_id_is_refused(chunk_stream_id: int) -> None:
    frames = IOBuf()
    with pytest.raises(ValueError, match="from 2 to 65599"):
        ChunkWriter().append(frames, ack(1), chunk_stream_id)
    assert not frames


@pytest.mark.parametrize("payload", [b"", b"\0\0\1", bytes(4), b"\x80\0\0\0"])
def test_wrong_chunk_size_is_refused(payload: bytes) -> None:
    writer, frames = ChunkWriter(), IOBuf()
    with pytest.raises(ValueError, match="names no chunk size"):
        writer.append(frames, RtmpMessage(SET_CHUNK_SIZE, payload))
    assert not frames
    assert writer.chunk_size == 128


def test_payload_of_16_mib_is_refused() -> None:
    frames = IOBuf()
    with pytest.raises(ValueError, match="at most 16777215 bytes"):
        ChunkWriter().append(frames, video(bytes(1 << 24), 0), 6)
    assert not frames


def test_wrong_fields_change_nothing() -> None:
    writer, frames = ChunkWriter(), IOBuf()
    writer.append(frames, video(b"abc", 0), 6)
    with pytest.raises(ValueError, match="256"):
        writer.append(frames, video(b"abc", 5, kind=256), 6)
    writer.append(frames, video(b"abc", 10), 6)
    assert bytes(frames) == chunk(0, 6, b"abc") + chunk(2, 6, b"abc", time=10)
