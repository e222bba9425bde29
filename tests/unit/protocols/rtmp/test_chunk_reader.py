"""ChunkReader: headers, timestamps and control messages, in pieces of any size."""

from __future__ import annotations

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.rtmp.chunk_reader import ChunkReader
from pybrpc.protocols.rtmp.message import (
    ABORT,
    AUDIO,
    COMMAND,
    DEFAULT_ACK_WINDOW,
    SET_CHUNK_SIZE,
    USER_CONTROL,
    VIDEO,
    WINDOW_ACK,
    RtmpMessage,
)
from tests.fakes.rtmp_chunks import bytewise, chunk, control, more, read_all

DAY_MS = 24 * 3600 * 1000
BODY = bytes(range(256)) * 2


def read(stream: bytes) -> list[RtmpMessage]:
    """The messages in `stream`: read at once, and byte by byte."""
    reader, other = ChunkReader(), ChunkReader()
    messages = read_all(reader, [stream])
    assert read_all(other, bytewise(stream)) == messages
    assert reader.broken is None
    assert other.broken is None
    assert other.held_bytes == reader.held_bytes
    assert other.received_bytes == reader.received_bytes == len(stream)
    return messages


def times(stream: bytes) -> list[int]:
    return [message.timestamp for message in read(stream)]


def test_message_of_one_chunk() -> None:
    expected = RtmpMessage(COMMAND, b"abc", 0x01020304, 77)
    assert read(chunk(0, 3, b"abc", time=77, kind=COMMAND, stream_id=0x01020304)) == [expected]


@pytest.mark.parametrize("chunk_stream_id", [2, 3, 63, 64, 319, 320, 65_599])
def test_message_of_many_chunks(chunk_stream_id: int) -> None:
    stream = chunk(0, chunk_stream_id, BODY[:128], length=500)
    for at in (128, 256):
        stream += more(chunk_stream_id, BODY[at : at + 128])
    stream += more(chunk_stream_id, BODY[384:500])
    (message,) = read(stream)
    assert message.payload == BODY[:500]
    assert type(message.payload) is bytes


def test_long_form_of_a_short_chunk_stream_id_is_the_same_stream() -> None:
    header = chunk(0, 64, b"", length=130)[2:]
    stream = b"\x01\x00\x00" + header + BODY[:128] + more(64, b"yz")
    assert [message.payload for message in read(stream)] == [BODY[:128] + b"yz"]


def test_shorter_headers_repeat_the_fields_before() -> None:
    stream = chunk(0, 4, b"one", time=1000, kind=AUDIO, stream_id=5)
    stream += chunk(1, 4, b"four", time=20, kind=VIDEO)
    stream += chunk(2, 4, b"five", time=30)
    assert read(stream) == [
        RtmpMessage(AUDIO, b"one", 5, 1000),
        RtmpMessage(VIDEO, b"four", 5, 1020),
        RtmpMessage(VIDEO, b"five", 5, 1050),
    ]


def test_fmt_3_that_opens_a_message_adds_the_last_delta() -> None:
    stream = chunk(0, 4, b"a", time=1000) + chunk(2, 4, b"b", time=20) + more(4, b"c")
    assert times(stream + more(4, b"d")) == [1000, 1020, 1040, 1060]


def test_fmt_3_after_fmt_0_adds_the_whole_time() -> None:
    assert times(chunk(0, 4, b"a", time=1000) + more(4, b"b")) == [1000, 2000]


def test_fmt_3_inside_a_message_adds_nothing() -> None:
    stream = chunk(0, 4, BODY[:128], time=1000, length=130) + more(4, b"yz")
    assert times(stream + chunk(2, 4, BODY[:128], time=5) + more(4, b"yz")) == [1000, 1005]


def test_messages_interleave() -> None:
    stream = chunk(0, 6, BODY[:128], length=300)
    stream += chunk(0, 4, b"audio", kind=AUDIO)
    stream += more(6, BODY[128:256])
    stream += chunk(0, 2, bytes(6), kind=USER_CONTROL, stream_id=0)
    stream += more(6, BODY[256:300])
    assert [message.payload for message in read(stream)] == [b"audio", bytes(6), BODY[:300]]


def test_two_long_messages_interleave_chunk_by_chunk() -> None:
    first, second = bytes(128 * 300), b"\xc6" * 128 * 300
    stream = chunk(0, 5, first[:128], length=len(first))
    stream += chunk(0, 6, second[:128], length=len(second))
    stream += (more(5, bytes(128)) + more(6, b"\xc6" * 128)) * 299
    assert [message.payload for message in read(stream)] == [first, second]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_runs_of_two_messages_interleave(count: int) -> None:
    first, second = b"\xc6" * 128 * 50, b"\xc5" * 128 * 50
    stream = chunk(0, 5, first[:128], length=len(first))
    stream += chunk(0, 6, second[:128], length=len(second))
    for at in range(1, 50, count):
        some = min(count, 50 - at)
        stream += more(5, first[:128]) * some + more(6, second[:128]) * some
    assert [message.payload for message in read(stream)] == [first, second]


@pytest.mark.parametrize("size", [128 * 600, 128 * 600 + 1, 128 * 601 - 1])
def test_long_run_of_small_chunks(size: int) -> None:
    body = (b"\xc4" + BODY) * 200
    body = body[:size]
    stream = chunk(0, 4, body[:128], length=size)
    for at in range(128, size, 128):
        stream += more(4, body[at : at + 128])
    assert [message.payload for message in read(stream * 2)] == [body, body]


def test_message_without_bytes() -> None:
    stream = chunk(0, 4, time=5, kind=AUDIO) + more(4, b"") + chunk(2, 4, time=1)
    assert read(stream) == [RtmpMessage(AUDIO, b"", 1, at) for at in (5, 10, 11)]


def test_fresh_chunk_stream_may_begin_with_fmt_1() -> None:
    ping = chunk(1, 2, b"\x00\x06\x00\x00\x00\x01", time=9, kind=USER_CONTROL)
    assert read(ping) == [RtmpMessage(USER_CONTROL, b"\x00\x06\x00\x00\x00\x01", 0, 9)]


# Extended timestamps


@pytest.mark.parametrize("time", [0xFFFFFE, 0xFFFFFF, 0x1000000, 0xFFFFFFFF])
def test_time_at_the_edge_of_24_and_32_bits(time: int) -> None:
    (message,) = read(chunk(0, 4, b"abc", time=time))
    assert (message.timestamp, message.payload) == (time, b"abc")


@pytest.mark.parametrize("fmt", [0, 1])
@pytest.mark.parametrize("time", [5, 0x1000000])
def test_message_without_bytes_ends_with_its_header(fmt: int, time: int) -> None:
    (message,) = read(chunk(fmt, 400, time=time))
    assert (message.timestamp, message.payload) == (time, b"")
    assert times(chunk(0, 4, time=0x1000000) + more(4, b"", 3)) == [0x1000000, 0x1000003]


@pytest.mark.parametrize("repeats", [True, False], ids=["repeated", "left out"])
def test_extended_time_of_later_chunks_may_be_left_out(repeats: bool) -> None:
    time = 0x1000005
    stream = chunk(0, 4, BODY[:128], time=time, length=300)
    for part in (BODY[128:256], BODY[256:300]):
        stream += more(4, part, time if repeats else None)
    assert read(stream * 2) == [RtmpMessage(VIDEO, BODY[:300], 1, time)] * 2


@pytest.mark.parametrize("tail", [bytes(4), b"\x01\x00", b"\x01", bytes(128), b"\x01\x00\x00\x06"])
def test_data_that_is_only_like_the_extended_time_is_data(tail: bytes) -> None:
    stream = chunk(0, 4, BODY[:128], time=0x1000005, length=128 + len(tail)) + more(4, tail)
    next_one = chunk(0, 5, b"next")
    assert [message.payload for message in read(stream + next_one)] == [BODY[:128] + tail, b"next"]


def test_small_delta_after_an_extended_time_ends_the_extension() -> None:
    stream = chunk(0, 4, BODY[:128], time=0x1000000, length=130) + more(4, b"yz", 0x1000000)
    stream += chunk(2, 4, BODY[:128], time=40) + more(4, b"yz")
    assert times(stream) == [0x1000000, 0x1000028]


def test_extended_delta() -> None:
    stream = chunk(0, 4, b"a", time=10) + chunk(1, 4, b"b", time=0x1000000)
    assert times(stream + more(4, b"c", 0x1000000)) == [10, 0x100000A, 0x200000A]


def test_fmt_3_that_opens_a_message_has_its_own_extended_delta() -> None:
    stream = chunk(0, 4, b"a", time=0xFFFFFF) + more(4, b"b", 7) + more(4, b"c", 8)
    assert times(stream) == [0xFFFFFF, 0x1000006, 0x100000E]


def test_time_after_4_hours_38_minutes() -> None:
    start = 0xFFFFFF - 60
    stream = chunk(0, 4, b"a", time=start)
    stream += b"".join(chunk(2, 4, b"b", time=40) for _ in range(3))
    stream += chunk(0, 4, b"c", time=start + 160)
    assert times(stream) == [start + 40 * step for step in range(5)]


def test_time_wraps_after_49_days() -> None:
    start = (1 << 32) - 50
    assert start > 49 * DAY_MS
    stream = chunk(0, 4, b"a", time=start) + chunk(2, 4, b"b", time=40) + chunk(2, 4, b"c", time=40)
    assert times(stream) == [start, start + 40, 30]


# Control messages


def test_chunk_size_changes() -> None:
    stream = control(SET_CHUNK_SIZE, 4) + chunk(0, 4, b"abcd", length=6) + more(4, b"ef")
    stream += control(SET_CHUNK_SIZE, 512) + chunk(0, 4, BODY)
    assert [message.payload for message in read(stream)] == [b"abcdef", BODY]


def test_chunk_size_changes_inside_a_message() -> None:
    stream = (
        chunk(0, 4, BODY[:128], length=512) + control(SET_CHUNK_SIZE, 1000) + more(4, BODY[128:])
    )
    assert [message.payload for message in read(stream)] == [BODY]


def test_large_chunk_size_is_cut_to_16_mib() -> None:
    reader = ChunkReader()
    read_all(reader, [control(SET_CHUNK_SIZE, 0x7FFFFFFF)])
    assert reader.broken is None
    assert reader.chunk_size == 16 * 1024 * 1024


def test_abort_drops_the_part_of_a_message() -> None:
    reader = ChunkReader()
    stream = chunk(0, 6, BODY[:128], time=100, length=400) + more(6, BODY[:128])
    assert read_all(reader, [stream]) == []
    assert reader.held_bytes == 256
    stream = control(ABORT, 6) + chunk(1, 6, b"next", time=20)
    assert read_all(reader, [stream]) == [RtmpMessage(VIDEO, b"next", 1, 120)]
    assert reader.held_bytes == 0
    assert reader.broken is None


def test_abort_of_its_own_or_an_unknown_chunk_stream_does_nothing() -> None:
    stream = chunk(0, 6, BODY[:128], length=200) + control(ABORT, 2) + control(ABORT, 77)
    stream += control(ABORT, 0xFFFFFFFF) + more(6, BODY[128:200]) + chunk(0, 4, b"x")
    assert [message.payload for message in read(stream)] == [BODY[:200], b"x"]


def test_abort_in_several_chunks_of_its_own_stream() -> None:
    stream = (
        control(SET_CHUNK_SIZE, 2) + chunk(0, 5, b"\0\0", kind=ABORT, length=4) + more(5, b"\0\5")
    )
    assert [message.payload for message in read(stream + chunk(0, 5, b"ok"))] == [b"ok"]


# Acks


def test_ack_is_due_after_more_than_a_window() -> None:
    reader = ChunkReader()
    message = chunk(0, 4, bytes(109))
    read_all(reader, [control(WINDOW_ACK, 10_000), message * 82])
    received = 16 + 82 * 121
    assert reader.received_bytes == received == 9938
    assert reader.take_ack() is None
    read_all(reader, [message])
    assert reader.take_ack() == received + 121
    assert reader.take_ack() is None
    read_all(reader, [message * 83])
    assert reader.take_ack() == received + 84 * 121


def test_exactly_one_window_needs_no_ack() -> None:
    reader = ChunkReader()
    read_all(reader, [control(WINDOW_ACK, 5000), chunk(0, 4, bytes(100)) * 44])
    read_all(reader, [chunk(0, 4, bytes(43)) + b"\xc4"])
    assert reader.received_bytes == 5000
    assert reader.take_ack() is None
    read_all(reader, [b"x"])
    assert reader.take_ack() == 5001
    read_all(reader, [bytes(42), chunk(0, 5, bytes(100)) * 44, chunk(0, 5, bytes(18))])
    assert reader.received_bytes == 10_001
    assert reader.take_ack() is None
    read_all(reader, [b"\xc5"])
    assert reader.take_ack() == 10_002


def test_tiny_window_is_4_kib() -> None:
    for size in (0, 1, 4095):
        reader = ChunkReader()
        read_all(reader, [control(WINDOW_ACK, size)])
        assert reader.ack_window == 4096
    assert ChunkReader().ack_window == DEFAULT_ACK_WINDOW


def test_ack_wraps_at_32_bits() -> None:
    reader = ChunkReader(received_bytes=(1 << 32) - 1)
    read_all(reader, [chunk(0, 4, b"abc")])
    assert reader.take_ack() == 14


# Reading in parts


def test_read_returns_a_limited_number_and_goes_on() -> None:
    reader, buffer = ChunkReader(), IOBuf(chunk(0, 4, b"a") * 10)
    counts = []
    while messages := reader.read(buffer, at_most=4):
        counts.append(len(messages))
    assert counts == [4, 4, 2]
    assert reader.held_bytes == 0


def test_a_read_takes_little_ahead() -> None:
    reader, buffer = ChunkReader(), IOBuf(chunk(0, 4) * 100_000)
    reader.read(buffer, at_most=1)
    assert len(buffer) + reader.held_bytes == 12 * 99_999
    assert reader.held_bytes <= 64 * 1024


def test_blocks_of_a_buffer_may_be_cut_anywhere() -> None:
    stream = chunk(0, 4, BODY[:128], length=300) + more(4, BODY[128:256]) + more(4, BODY[256:300])
    for at in range(len(stream)):
        buffer = IOBuf(stream[:at])
        buffer.append(memoryview(stream)[at:])
        reader = ChunkReader()
        assert [message.payload for message in reader.read(buffer)] == [BODY[:300]]


def test_repr_has_the_state() -> None:
    reader = ChunkReader()
    read_all(reader, [chunk(0, 4, BODY[:100], length=200)])
    assert repr(reader) == "<ChunkReader, 112 bytes, 100 partial>"
