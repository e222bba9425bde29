"""Chunks of RTMP: out come the messages that a plain reading finds, in any pieces; and what comes
out is written and read again."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.fuzz_target import FuzzTarget, assert_says
from fuzz.parameters import BYTEWISE, WHOLE, Parameters, pieces_of
from fuzz.references.rtmp_chunks import Fields, RtmpChunks
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.rtmp.amf0 import AmfError
from pybrpc.protocols.rtmp.chunk_reader import ChunkReader
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.command import first_text, parse_command, parse_data
from pybrpc.protocols.rtmp.media import AudioFacts, VideoFacts
from pybrpc.protocols.rtmp.message import (
    AGGREGATE,
    AUDIO,
    SET_CHUNK_SIZE,
    RtmpMessage,
    bandwidth_in,
    set_chunk_size,
    user_control_in,
)
from tests.fakes.rtmp_chunks import chunk, control, more

LIMITS = (4 * 1024 * 1024, 2000, 300)
CHUNK_SIZES = (128, 1, 60_000)


def check(data: bytes) -> None:
    given = Parameters(data)
    limit, plan, size = given.one_of(LIMITS), given.number(), given.one_of(CHUNK_SIZES)
    stream = given.rest()
    expected = RtmpChunks(limit, 2 * limit).read(stream)
    for each in {WHOLE, plan}:
        messages, reader = _read(pieces_of(stream, each), limit)
        assert [_fields(message) for message in messages] == expected.messages, each
        assert (reader.broken is not None) is expected.is_broken, each
        assert reader._partial == (0 if expected.is_broken else expected.partial_bytes)
        assert reader.held_bytes <= reader._partial + 17
    if reader.broken is None:
        assert reader.chunk_size == min(expected.chunk_size, 1 << 24)
        assert reader.ack_window == expected.ack_window
        assert reader.received_bytes == len(stream)
    _check_comes_back(messages, size)
    for message in messages:
        _look_into(message)


def _read(pieces: list[bytes], limit: int) -> tuple[list[RtmpMessage], ChunkReader]:
    reader, buffer = ChunkReader(limit, 2 * limit), IOBuf()
    found: list[RtmpMessage] = []
    for piece in pieces:
        buffer.append(piece)
        while messages := reader.read(buffer, at_most=5):
            found += messages
        assert not buffer
    return found, reader


def _fields(message: RtmpMessage) -> Fields:
    return message.message_type, message.stream_id, message.timestamp, message.payload


def _check_comes_back(messages: list[RtmpMessage], size: int) -> None:
    writer, frames, buffer = ChunkWriter(), IOBuf(), IOBuf()
    writer.append(frames, set_chunk_size(size))
    for message in messages:
        writer.append(frames, message, 3 + message.stream_id % 300)
    buffer.append(bytes(frames))
    assert ChunkReader().read(buffer, at_most=len(messages) + 1) == messages


def _look_into(message: RtmpMessage) -> None:
    payload = message.payload
    user_control_in(payload)
    bandwidth_in(payload)
    first_text(message)
    for facts in (AudioFacts(payload), VideoFacts(payload)):
        assert repr(facts)
    for parse in (parse_command, parse_data):
        try:
            parse(message)
        except AmfError as error:
            assert_says(error)


def seeds() -> Iterator[bytes]:
    body = bytes(range(200))
    long = chunk(0, 6, body[:128], time=40, length=200) + more(6, body[128:])
    late = chunk(0, 6, body[:128], time=1 << 24, length=200) + more(6, body[128:], 1 << 24)
    part = b"\x09\0\0\3" + bytes(7) + b"abc\0\0\0\x0e"
    streams = (
        long + chunk(1, 6, body[:9], time=20) + chunk(2, 6, body[:9], time=20) + more(6, body[:9]),
        late + chunk(2, 6, body[:128], time=40) + more(6, body[128:]) + late[:-72],
        long[:140] + chunk(0, 4, b"audio", kind=AUDIO) + control(2, 6) + chunk(0, 6, b"new"),
        control(SET_CHUNK_SIZE, 4) + chunk(0, 70, body[:4], length=9) + more(70, body[:4]),
        control(SET_CHUNK_SIZE, 1) + chunk(0, 4, b"a", length=6) + more(4, b"b") * 5,
        control(5, 0) + chunk(0, 400, part * 2, kind=AGGREGATE, time=9),
        b"".join(chunk(0, 2 + number, length=3) for number in range(65)),
    )
    for stream in streams:
        for limit, plan, size in ((0, WHOLE, 0), (1, BYTEWISE, 1), (2, 7, 2)):
            yield bytes([limit, plan, size]) + stream


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(
        *(b"\xff\xff\xff", b"\x01\0\0\0", control(1, 1), control(1, 300), control(2, 6)),
        *(chunk(0, 6, length=200), chunk(1, 6, b"x"), b"\xc6", b"\x86\0\0\1", b"\xc0\x06"),
    ),
    max_bytes=3000,
)
