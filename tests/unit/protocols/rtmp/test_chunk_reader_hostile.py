"""ChunkReader and hostile peers: what breaks a connection, and how much memory one can take."""

from __future__ import annotations

import sys

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.rtmp import chunk_reader
from pybrpc.protocols.rtmp.chunk_reader import ChunkReader
from pybrpc.protocols.rtmp.message import ABORT, AGGREGATE, SET_CHUNK_SIZE, WINDOW_ACK, RtmpMessage
from tests.fakes.rtmp_chunks import basic_header, bytewise, chunk, control, more, read_all

INSIDE = chunk(0, 6, bytes(128), length=400)

MALFORMED = [
    (control(SET_CHUNK_SIZE, 0), "a chunk size of 0"),
    (control(SET_CHUNK_SIZE, 0x80000000), "a chunk size of 2147483648"),
    (control(SET_CHUNK_SIZE, 0xFFFFFFFF), "a chunk size of 4294967295"),
    (chunk(0, 2, b"\0\0\1", kind=SET_CHUNK_SIZE), "control message of type 1 has 3 bytes"),
    (chunk(0, 2, b"", kind=ABORT), "control message of type 2 has 0 bytes"),
    (chunk(0, 2, b"\0", kind=WINDOW_ACK), "control message of type 5 has 1 bytes"),
    (chunk(2, 6, b"", time=1), "chunk stream 6 begins with fmt 2"),
    (more(70, b"x"), "chunk stream 70 begins with fmt 3"),
    (INSIDE + chunk(0, 6, b"x"), "a header of fmt 0 inside a message of chunk stream 6"),
    (INSIDE + chunk(1, 6, b"x"), "a header of fmt 1 inside a message of chunk stream 6"),
    (INSIDE + chunk(2, 6, b"x"), "a header of fmt 2 inside a message of chunk stream 6"),
    (chunk(0, 6, b"", length=4 * 1024 * 1024 + 1), "longer than max_message_bytes=4194304"),
    (chunk(0, 6, b"", length=0xFFFFFF), "longer than max_message_bytes"),
    (chunk(0, 4, bytes(20), kind=AGGREGATE)[:-9], None),
    (chunk(0, 4, b"\x09\x00\x00\x05" + bytes(8), kind=AGGREGATE), "aggregate message is not whole"),
    (chunk(0, 4, b"\x09", kind=AGGREGATE), "aggregate message is not whole"),
]


@pytest.mark.parametrize(("stream", "reason"), MALFORMED)
def test_malformed_bytes_break_the_reader_after_what_came_before(
    stream: bytes, reason: str | None
) -> None:
    for pieces in ([b"", chunk(0, 5, b"good") + stream], bytewise(chunk(0, 5, b"good") + stream)):
        reader = ChunkReader()
        assert read_all(reader, pieces) == [RtmpMessage(9, b"good", 1, 0)]
        if reason is None:
            assert reader.broken is None
            continue
        assert reader.broken is not None
        assert reader.broken.reason.startswith("RTMP: ")
        assert reason in reader.broken.reason
        assert reader.held_bytes == 0
        assert not reader._streams
        assert read_all(reader, [chunk(0, 5, b"good")]) == []
        assert "broken" in repr(reader)


def test_header_inside_a_message_is_seen_before_it_is_whole() -> None:
    reader = ChunkReader()
    read_all(reader, [INSIDE + basic_header(0, 6)])
    assert reader.broken is not None


def test_number_of_chunk_streams_is_limited() -> None:
    reader = ChunkReader()
    read_all(reader, [b"".join(chunk(0, 2 + number, b"x") for number in range(64))])
    assert reader.broken is None
    read_all(reader, [chunk(0, 66, b"x")])
    assert reader.broken is not None
    assert "more than 64 chunk streams" in reader.broken.reason


def test_sum_of_incomplete_messages_is_limited() -> None:
    reader = ChunkReader(max_message_bytes=1 << 20, max_partial_bytes=1 << 21)
    part = bytes((1 << 20) - 1)
    read_all(reader, [control(SET_CHUNK_SIZE, len(part))])
    for number in range(2):
        read_all(reader, [chunk(0, 10 + number, part, length=1 << 20)])
    assert reader.broken is None
    assert reader.held_bytes == 2 * len(part)
    read_all(reader, [chunk(0, 12, bytes(3), length=1 << 20)])
    assert reader.broken is not None
    assert "more than 2097152 bytes" in reader.broken.reason
    assert reader.held_bytes == 0


def test_bytes_of_messages_that_end_are_uncounted() -> None:
    reader = ChunkReader(max_message_bytes=1000, max_partial_bytes=1000)
    message = chunk(0, 4, bytes(128), length=300) + more(4, bytes(128)) + more(4, bytes(44))
    aborted = chunk(0, 4, bytes(128), length=300) + control(ABORT, 4)
    read_all(reader, [message * 20, aborted * 20, *bytewise(message * 4)])
    assert reader.broken is None
    assert reader.held_bytes == 0


def test_declared_lengths_allocate_nothing() -> None:
    reader = ChunkReader(max_message_bytes=0xFFFFFF)
    data = bytes(128)
    read_all(reader, [chunk(0, 10 + number, data, length=0xFFFFFF) for number in range(60)])
    read_all(reader, [control(SET_CHUNK_SIZE, 0x7FFFFFFF), more(10, b"x")])
    assert reader.broken is None
    assert reader.held_bytes == 60 * 128 + 1
    streams = reader._streams.values()
    assert sum(sys.getsizeof(stream.body) for stream in streams if stream.body) < 60 * 300


def test_single_bytes_are_not_kept_as_objects() -> None:
    reader = ChunkReader()
    read_all(reader, [control(SET_CHUNK_SIZE, 1 << 20), chunk(0, 4, b"", length=100_000)])
    read_all(reader, [b"x"] * 99_999)
    (stream,) = (each for each in reader._streams.values() if each.missing)
    assert sys.getsizeof(stream.body) < 130_000


def test_small_chunks_limit_the_length_of_messages() -> None:
    limit = 4 * 1024 * 1024 // 128
    for size in (1, 127):
        for length, is_broken in ((limit * size, False), (limit * size + 1, True)):
            reader = ChunkReader()
            header = chunk(0, 4, b"", length=length)
            read_all(reader, [control(SET_CHUNK_SIZE, size), header])
            assert (reader.broken is not None) is is_broken
    assert f"in chunks of {size} bytes" in str(reader.broken)


@pytest.mark.python_only
def test_work_does_not_grow_with_the_square_of_a_message() -> None:
    """Counted in bytes that are moved."""
    moved: list[int] = []

    class Counted(ChunkReader):
        def _take(self, buffer: IOBuf) -> None:
            super()._take(buffer)
            moved.append(len(self._data))

        def _keep(self, stream: chunk_reader._ChunkStream, part: bytes | bytearray) -> None:
            super()._keep(stream, part)
            moved.append(len(part))

    for chunk_size, step in ((1, 1), (1, 4000), (128, 1), (128, 50_000)):
        moved.clear()
        first, second = bytes(20_000), b"\xc6" * 20_000
        stream = chunk(0, 5, first[:chunk_size], length=20_000)
        stream += chunk(0, 6, second[:chunk_size], length=20_000)
        for at in range(chunk_size, 20_000, chunk_size):
            stream += more(5, first[at : at + chunk_size]) + more(6, second[at : at + chunk_size])
        pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
        reader = Counted()
        assert len(read_all(reader, [control(SET_CHUNK_SIZE, chunk_size), *pieces])) == 2
        assert sum(moved) < 20 * len(stream)


@pytest.mark.python_only
def test_run_of_small_chunks_is_taken_in_few_steps() -> None:
    """As with gstreamer, which stays at chunks of 128 bytes."""
    steps: list[int] = []

    class Counted(ChunkReader):
        def _keep(self, stream: chunk_reader._ChunkStream, part: bytes | bytearray) -> None:
            super()._keep(stream, part)
            steps.append(len(part))

    body = bytes(128 * 1000)
    stream = chunk(0, 4, body[:128], length=len(body)) + more(4, body[:128]) * 999
    pieces = [stream[at : at + 65_536] for at in range(0, len(stream), 65_536)]
    assert [message.payload for message in read_all(Counted(), pieces)] == [body]
    assert len(steps) < 20


def test_flood_of_tiny_chunks_breaks() -> None:
    """Two chunk streams take turns, so that no run of chunks can be taken at once."""
    begin = control(SET_CHUNK_SIZE, 1) + chunk(0, 6, b"x", length=30_000)
    begin += chunk(0, 7, b"x", length=30_000)
    reader = ChunkReader()
    read_all(reader, [begin, (more(6, b"x") + more(7, b"x")) * 29_999])
    assert reader.broken is not None
    assert "chunks in" in reader.broken.reason


def test_message_that_is_incomplete_for_longest_has_a_mark() -> None:
    reader = ChunkReader()
    read_all(reader, [INSIDE])
    mark = reader.unfinished_mark
    read_all(reader, [chunk(0, 5, b"whole"), chunk(0, 7, bytes(128), length=400)])
    assert reader.unfinished_mark == mark, "messages that come meanwhile don't change it"
    read_all(reader, [more(6, bytes(128)), more(6, bytes(128))])
    assert reader.unfinished_mark == mark
    read_all(reader, [more(6, bytes(16))])
    assert reader.unfinished_mark != mark
    mark = reader.unfinished_mark
    read_all(reader, [control(ABORT, 7)])
    assert reader.unfinished_mark != mark


def test_mark_changes_with_each_message_that_is_not_incomplete() -> None:
    """Each read ends in the header of the next message."""
    reader = ChunkReader()
    data = chunk(0, 5, b"whole")
    marks = set()
    read_all(reader, [data[:1]])
    for _ in range(4):
        marks.add(reader.unfinished_mark)
        read_all(reader, [data[1:] + data[:1]])
        assert reader.held_bytes == 1
    assert len(marks) == 4
