"""FLV files: they are written byte by byte as the format says, and read from any file."""

from __future__ import annotations

import errno
import io
from typing import Any

import pytest

from pybrpc.protocols.rtmp.command import pack_data
from pybrpc.protocols.rtmp.flv import FlvError, FlvReader, FlvWriter
from pybrpc.protocols.rtmp.message import AUDIO, COMMAND, DATA, DATA_AMF3, VIDEO, RtmpMessage

HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"
MESSAGES = [
    RtmpMessage(DATA, b"meta", 0, 0),
    RtmpMessage(VIDEO, b"\x17\x00", 0, 0),
    RtmpMessage(AUDIO, b"", 0, 0x00FFFFFF),
    RtmpMessage(VIDEO, bytes(70_000), 0, 0x01000000),
    RtmpMessage(VIDEO, b"\x27\x01", 0, 0xFFFFFFFF),
]


def file_of(*messages: RtmpMessage) -> bytes:
    file = io.BytesIO()
    writer = FlvWriter(file)
    for message in messages:
        assert writer.write(message)
    assert writer.tag_count == len(messages)
    return file.getvalue()


class SlowFile:
    """Returns at most three bytes at a time, and notes how many were asked for."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.asked: list[int] = []

    def read(self, size_bytes: int, /) -> bytes:
        self.asked.append(size_bytes)
        return self._file.read(min(size_bytes, 3))


def test_bytes_of_a_file() -> None:
    assert file_of(RtmpMessage(VIDEO, b"abc", 5, 0x01020304)) == (
        HEADER + b"\x09\x00\x00\x03\x02\x03\x04\x01\x00\x00\x00abc\x00\x00\x00\x0e"
    )


@pytest.mark.parametrize(("audio", "video", "flags"), [(True, False, 4), (False, True, 1)])
def test_flags_of_the_header(audio: bool, video: bool, flags: int) -> None:
    writer = FlvWriter(io.BytesIO(), has_audio=audio, has_video=video)
    assert writer.take_header() == b"FLV\x01" + bytes([flags]) + HEADER[5:]
    assert writer.take_header() == b""


def test_messages_come_back() -> None:
    data = file_of(*MESSAGES)
    reader = FlvReader(io.BytesIO(data))
    assert list(reader) == MESSAGES
    assert not reader.is_truncated
    assert list(reader) == []
    assert list(FlvReader(SlowFile(data))) == MESSAGES


def test_tag_without_bytes_is_an_empty_message() -> None:
    for kind in (AUDIO, VIDEO, DATA):
        data = file_of(RtmpMessage(kind, b""), RtmpMessage(AUDIO, b"x"))
        assert list(FlvReader(io.BytesIO(data))) == [
            RtmpMessage(kind, b""),
            RtmpMessage(AUDIO, b"x"),
        ]


def test_other_messages_are_not_written() -> None:
    file = io.BytesIO()
    assert FlvWriter(file).write(RtmpMessage(COMMAND, b"x")) is False
    assert file.getvalue() == b""


def test_set_data_frame_is_left_out() -> None:
    sent = pack_data("@setDataFrame", "onMetaData", {"a": 1.0}, stream_id=1, timestamp=5)
    stored = RtmpMessage(DATA, pack_data("onMetaData", {"a": 1.0}).payload, 0, 5)
    as_amf3 = RtmpMessage(DATA_AMF3, b"\x00" + sent.payload, 1, 5)
    assert list(FlvReader(io.BytesIO(file_of(sent, as_amf3)))) == [stored, stored]


def test_payload_of_16_mib_is_refused_and_nothing_is_written() -> None:
    file = io.BytesIO()
    writer = FlvWriter(file)
    with pytest.raises(ValueError, match="at most 16777215 bytes"):
        writer.write(RtmpMessage(VIDEO, bytes(1 << 24)))
    assert file.getvalue() == b""
    writer.write(MESSAGES[0])
    assert file.getvalue().startswith(HEADER)


def test_file_that_ends_inside_a_tag_ends_the_iteration() -> None:
    first = file_of(MESSAGES[0])
    data = file_of(*MESSAGES[:2])
    for size in range(len(first), len(data)):
        reader = FlvReader(io.BytesIO(data[:size]))
        whole = 2 if size >= len(data) - 4 else 1
        assert list(reader) == MESSAGES[:whole]
        assert reader.is_truncated is (len(first) < size < len(data) - 4)
        assert list(reader) == []


@pytest.mark.parametrize(
    "data",
    [b"", b"FLV", HEADER[:8], b"\x89PNG" + bytes(20), b"FLV\x02" + HEADER[4:]]
    + [HEADER[:5] + size.to_bytes(4, "big") + bytes(99) for size in (0, 8, 0xFFFFFFFF)],
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(FlvError):
        list(FlvReader(io.BytesIO(data)))


def test_file_without_tags_has_no_messages() -> None:
    for size in (9, 11, 13):
        reader = FlvReader(io.BytesIO(HEADER[:size]))
        assert list(reader) == []
        assert not reader.is_truncated


def test_longer_file_header_is_skipped() -> None:
    data = HEADER[:8] + b"\x0c" + b"abc" + HEADER[9:] + file_of(MESSAGES[0])[13:]
    assert list(FlvReader(io.BytesIO(data))) == MESSAGES[:1]


def test_long_tag_is_an_error_before_it_is_read() -> None:
    data = HEADER + b"\x09\xff\xff\xff" + bytes(7)
    with pytest.raises(FlvError, match="longer than 4194304"):
        next(FlvReader(io.BytesIO(data)))
    with pytest.raises(FlvError, match="a tag of 4 bytes is longer than 3"):
        next(FlvReader(io.BytesIO(file_of(MESSAGES[0])), max_tag_bytes=3))


def test_declared_length_is_read_in_parts() -> None:
    file = SlowFile(HEADER + b"\x09\x3f\xff\xff" + bytes(7) + b"abc")
    reader = FlvReader(file)
    assert list(reader) == []
    assert reader.is_truncated
    assert max(file.asked) <= 64 * 1024


def test_back_lengths_reserved_bits_and_other_tags_are_ignored() -> None:
    first = b"\xc8\x00\x00\x01" + bytes(7) + b"a" + b"\xff\xff\xff\xff"
    encrypted = b"\x28\x00\x00\x01" + bytes(7) + b"e" + bytes(4)
    other = b"\x0f\x00\x00\x01" + bytes(7) + b"o" + bytes(4)
    last = b"\x09\x00\x00\x01" + bytes(7) + b"v"
    found = list(FlvReader(io.BytesIO(HEADER + first + encrypted + other + last)))
    assert found == [RtmpMessage(AUDIO, b"a"), RtmpMessage(VIDEO, b"v")]


class FullOnce(io.BytesIO):
    """A file on a disk that is full at the first write."""

    is_full = True

    def write(self, data: Any) -> int:
        if self.is_full:
            self.is_full = False
            raise OSError(errno.ENOSPC, "full")
        return super().write(data)


def test_header_is_written_when_there_is_room_again() -> None:
    file = FullOnce()
    writer = FlvWriter(file)
    message = RtmpMessage(VIDEO, b"picture", 0, 5)
    with pytest.raises(OSError, match="full"):
        writer.write(message)
    writer.write(message)
    assert list(FlvReader(io.BytesIO(file.getvalue()))) == [message]


def test_reader_that_has_failed_reads_no_more() -> None:
    file = io.BytesIO()
    writer = FlvWriter(file)
    for size in (5, 500, 5):
        writer.write(RtmpMessage(VIDEO, bytes(size), 0, 5))
    reader = FlvReader(io.BytesIO(file.getvalue()), max_tag_bytes=100)
    assert len(next(reader).payload) == 5
    for _ in range(3):
        with pytest.raises(FlvError, match="a tag of 500 bytes"):
            next(reader)
