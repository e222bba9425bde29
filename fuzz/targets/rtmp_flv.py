"""FLV files: bytes are tags or refused, and tags are written so that they are read again."""

from __future__ import annotations

import io
from collections.abc import Iterator

from fuzz.fuzz_target import FuzzTarget, assert_says
from fuzz.parameters import Parameters
from pybrpc.protocols.rtmp.aggregate import MalformedAggregateError, split_aggregate
from pybrpc.protocols.rtmp.flv import FlvError, FlvReader, FlvWriter
from pybrpc.protocols.rtmp.message import AGGREGATE, DATA, RtmpMessage

LIMITS = (4 * 1024 * 1024, 100)
HEADER = b"FLV\1\5\0\0\0\x09\0\0\0\0"


class PiecedFile:
    """Returns at most `most` bytes at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        self._file = io.BytesIO(data)
        self._most = most

    def read(self, size_bytes: int, /) -> bytes:
        return self._file.read(min(size_bytes, self._most))


def check(data: bytes) -> None:
    given = Parameters(data)
    limit, most = given.one_of(LIMITS), given.number() + 1
    file = given.rest()
    messages, is_broken, is_truncated = _read(file, len(file) + 1, limit)
    assert _read(file, most, limit) == (messages, is_broken, is_truncated)
    assert sum(11 + len(message.payload) for message in messages) <= len(file)
    assert all(len(message.payload) <= limit for message in messages)
    _check_comes_back(messages)
    try:
        split_aggregate(RtmpMessage(AGGREGATE, file))
    except MalformedAggregateError as error:
        assert_says(error)


def _read(file: bytes, most: int, limit: int) -> tuple[list[RtmpMessage], bool, bool]:
    reader = FlvReader(PiecedFile(file, most), limit)
    messages: list[RtmpMessage] = []
    try:
        for message in reader:
            messages.append(message)
    except FlvError as error:
        assert_says(error)
        return messages, True, False
    return messages, False, reader.is_truncated


def _check_comes_back(messages: list[RtmpMessage]) -> None:
    file = io.BytesIO()
    writer = FlvWriter(file)
    file.write(writer.take_header())
    for message in messages:
        assert writer.write(message)
    expected = [_stored(message) for message in messages]
    assert list(FlvReader(io.BytesIO(file.getvalue()))) == expected


def _stored(message: RtmpMessage) -> RtmpMessage:
    name = b"\2\0\x0d@setDataFrame"
    payload = message.payload
    if message.message_type == DATA and payload.startswith(name):
        payload = payload[len(name) :]
    return RtmpMessage(message.message_type, payload, 0, message.timestamp)


def seeds() -> Iterator[bytes]:
    file = io.BytesIO()
    writer = FlvWriter(file)
    writer.write(RtmpMessage(DATA, b"\2\0\x0aonMetaData\5"))
    writer.write(RtmpMessage(9, b"\x17\0\0\0\0", 0, 0x01020304))
    writer.write(RtmpMessage(8, b"", 0, 40))
    writer.write(RtmpMessage(9, bytes(300), 0, 80))
    yield b"\0\xff" + file.getvalue()
    yield b"\0\0" + file.getvalue()[:-5]
    yield b"\1\6" + file.getvalue()
    yield b"\0\2" + HEADER[:8] + b"\x0b\0\0" + file.getvalue()[9:]
    yield b"\0\0" + HEADER[:7]


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(
        HEADER,
        b"\x09\0\0\1" + bytes(7) + b"x\0\0\0\x0c",
        b"\x08" + bytes(14),
        b"\xff\xff\xff",
    ),
    max_bytes=2000,
)
