"""SharedFrame and the messages of many of them: bytes that are made once, and read alike."""

from __future__ import annotations

import tracemalloc

import pytest

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.rtmp.chunk_reader import ChunkReader
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.message import RtmpMessage, set_chunk_size
from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.outgoing import ChunkedMessages
from pybrpc.rtmp.relay.shared_frames import CachedMessages, SharedBatch, SharedFrame, SharedMessages
from tests.fakes.rtmp_frames import audio_header, keyframe, metadata, picture, shared, sound

FRAMES = [metadata(), audio_header(), keyframe(10, 9000), sound(12, 300), picture(50, 70_000)]


def read(buffer: IOBuf, reader: ChunkReader | None = None) -> list[RtmpMessage]:
    reader = reader or ChunkReader()
    messages = []
    while found := reader.read(buffer):
        messages += found
    assert reader.broken is None
    return messages


@pytest.mark.parametrize("chunk_size", [128, 4096, 60_000])
@pytest.mark.parametrize("stream_id", [1, 7])
@pytest.mark.parametrize("make", [SharedMessages, CachedMessages])
def test_frames_are_read_as_they_were(chunk_size: int, stream_id: int, make: type) -> None:
    frames = [shared(frame) for frame in FRAMES]
    writer, wire, reader = ChunkWriter(), IOBuf(), ChunkReader()
    writer.append(wire, set_chunk_size(chunk_size))
    read(wire, reader)

    make(SharedBatch(frames) if make is SharedMessages else frames, writer, stream_id).append_to(
        wire
    )

    assert read(wire, reader) == [frame.message(stream_id) for frame in frames]


def test_all_players_share_the_same_block() -> None:
    batch = SharedBatch([shared(frame) for frame in FRAMES])

    assert batch.encoded(4096, 1) is batch.encoded(4096, 1)
    assert batch.encoded(4096, 1) != batch.encoded(4096, 2)
    assert batch.encoded(4096, 1) != batch.encoded(128, 1)


def test_late_players_share_the_payload_whatever_the_id_of_their_stream() -> None:
    frame = shared(keyframe(0, 200_000))
    for stream_id in range(1, 4):
        writer, wire = ChunkWriter(), IOBuf()
        writer.chunk_size = 60_000
        CachedMessages([frame], writer, stream_id).append_to(wire)
        views = [block for block in wire if len(block) > 100]

        assert {id(view.obj) for view in views} == {id(frame.payload)}
        assert sum(map(len, views)) == len(frame.payload)


def test_short_frames_of_late_players_are_joined() -> None:
    frames = [shared(sound(time, 300)) for time in range(100)]
    wire = IOBuf()
    CachedMessages([*frames, shared(keyframe(200, 5000)), *frames], ChunkWriter(), 1).append_to(
        wire
    )

    assert wire.block_count == 1, "chunks of 128 bytes are short too"
    writer, wire = ChunkWriter(), IOBuf()
    writer.chunk_size = 60_000
    CachedMessages([*frames, shared(keyframe(200, 5000)), *frames], writer, 1).append_to(wire)

    assert wire.block_count == 3


def test_frame_keeps_no_bytes_of_a_player() -> None:
    frame = shared(keyframe(0, 1_000_000))
    SharedBatch([frame]).encoded(60_000, 1)
    tracemalloc.start()
    try:
        for stream_id in range(1, 33):
            SharedBatch([frame]).encoded(60_000, stream_id)
            CachedMessages([frame], ChunkWriter(), stream_id).append_to(IOBuf())
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


def test_chunk_size_is_that_of_the_time_of_writing() -> None:
    writer, wire = ChunkWriter(), IOBuf()
    message = SharedMessages(SharedBatch([shared(keyframe(0, 5000))]), writer, 1)

    ChunkedMessages(writer, [set_chunk_size(60_000)]).append_to(wire)
    message.append_to(wire)

    (read_message,) = read(wire)
    assert read_message.payload == keyframe(0, 5000).payload


def test_headers_never_mix_with_those_of_the_writer_of_the_connection() -> None:
    writer, wire = ChunkWriter(), IOBuf()
    expected = []
    for number in range(3):
        frame = SharedFrame(picture(0), 1000 + number)
        own = RtmpMessage(9, b"own", 1, 40 * number)
        SharedMessages(SharedBatch([frame]), writer, 1).append_to(wire)
        ChunkedMessages(writer, [own]).append_to(wire)
        expected += [frame.message(1), own]

    assert read(wire) == expected


def test_times_of_32_bits_are_kept() -> None:
    writer, wire = ChunkWriter(), IOBuf()
    frames = [SharedFrame(keyframe(0, 500), time) for time in (0xFFFFFE, 0xFFFFFF, 0xFFFFFFFF)]
    SharedMessages(SharedBatch(frames), writer, 1).append_to(wire)

    assert [message.timestamp for message in read(wire)] == [0xFFFFFE, 0xFFFFFF, 0xFFFFFFFF]


def test_size_hint_is_at_least_the_payloads() -> None:
    frames = [shared(frame) for frame in FRAMES]
    payloads = sum(len(frame.payload) for frame in frames)

    assert SharedMessages(SharedBatch(frames), ChunkWriter(), 1).size_hint_bytes > payloads
    assert CachedMessages(frames, ChunkWriter(), 1).size_hint_bytes > payloads


def test_facts_are_those_of_the_frame() -> None:
    assert shared(keyframe(0)).is_keyframe
    assert not shared(picture(0)).is_keyframe
    assert shared(audio_header()).is_header
    assert not shared(sound(0)).is_header
    assert shared(metadata()).is_metadata
    assert shared(sound(0)).codec == "aac"
    assert shared(keyframe(0)).codec == "h264"
    assert shared(metadata()).codec is None


@pytest.mark.parametrize("message_type", [8, 9, 18])
def test_empty_frame_is_relayed(message_type: int) -> None:
    wire = IOBuf()
    frame = SharedFrame(Frame(message_type, b""), 5)
    SharedMessages(SharedBatch([frame]), ChunkWriter(), 1).append_to(wire)

    assert read(wire) == [frame.message(1)]
