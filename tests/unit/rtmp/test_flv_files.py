"""FlvReader and FlvWriter: frames come back from a file as they were written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from pybrpc.protocols.rtmp import UNDEFINED
from pybrpc.protocols.rtmp.amf0 import encode
from pybrpc.protocols.rtmp.message import DATA, DATA_AMF3
from pybrpc.rtmp import FlvError, FlvReader, FlvWriter, Frame

FRAMES = [
    Frame.of_metadata({"width": 640.0}),
    Frame.video(b"\x17\0\0\0\0header", 0),
    Frame.audio(b"", 0xFFFFFF),
    Frame.video(b"\x17\1" + bytes(70_000), 0x1000000),
    Frame.video(b"\x27\1", 0xFFFFFFFF),
]


def file_of(*frames: Frame, **options: bool) -> bytes:
    file = io.BytesIO()
    writer = FlvWriter(file, **options)
    for frame in frames:
        writer.write(frame)
    assert writer.frame_count == len(frames)
    return file.getvalue()


def read(data: bytes) -> list[Frame]:
    return list(FlvReader(io.BytesIO(data)))


def test_frames_come_back() -> None:
    assert read(file_of(*FRAMES)) == FRAMES


@pytest.mark.parametrize(("audio", "video", "flags"), [(True, False, 4), (False, True, 1)])
def test_the_header_says_what_comes(audio: bool, video: bool, flags: int) -> None:
    assert file_of(FRAMES[1], has_audio=audio, has_video=video)[4] == flags


@pytest.mark.parametrize(
    ("kind", "front"), [(DATA, b""), (DATA_AMF3, b"\0"), (DATA, encode("@setDataFrame"))]
)
def test_data_are_stored_as_players_get_them(kind: int, front: bytes) -> None:
    metadata = FRAMES[0]
    assert read(file_of(Frame(kind, front + metadata.payload, 7))) == [
        Frame(DATA, metadata.payload, 7)
    ]
    other = Frame(DATA, encode("onCuePoint", UNDEFINED), 7)
    assert read(file_of(other)) == [other]


def test_a_file_that_ends_early_ends_the_iteration() -> None:
    data = file_of(*FRAMES)
    reader = FlvReader(io.BytesIO(data[:-5]))
    assert list(reader) == FRAMES[:-1]
    assert reader.is_truncated
    complete = FlvReader(io.BytesIO(data))
    assert list(complete) == FRAMES
    assert not complete.is_truncated


@pytest.mark.parametrize("data", [b"", b"FLV", b"no FLV file at all", b"FLV\x01\5" + b"\xff" * 20])
def test_what_is_no_flv_file_is_an_error(data: bytes) -> None:
    with pytest.raises(FlvError):
        read(data)
    assert issubclass(FlvError, ValueError)


@pytest.mark.parametrize(
    "file", ["a.flv", Path("a.flv"), None, io.StringIO(), 5], ids=lambda file: type(file).__name__
)
def test_only_binary_files_are_taken(file: Any) -> None:
    with pytest.raises(TypeError, match=r'a binary file, as of open\(path, "rb"\)'):
        FlvReader(file)
    with pytest.raises(TypeError, match=r'a binary file, as of open\(path, "wb"\)'):
        FlvWriter(file)


@pytest.mark.parametrize("what", [b"x", None, ("video", 0), [FRAMES[0]]], ids=repr)
def test_only_frames_are_written(what: Any) -> None:
    file = io.BytesIO()
    with pytest.raises(TypeError):
        FlvWriter(file).write(what)
    assert file.getvalue() == b""


def test_options_of_the_header_are_flags() -> None:
    with pytest.raises(TypeError, match="has_audio must be True or False, not 'no'"):
        FlvWriter(io.BytesIO(), has_audio="no")  # type: ignore[arg-type]


def test_errors_of_the_file_are_passed_on() -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        FlvWriter(Full()).write(FRAMES[0])
