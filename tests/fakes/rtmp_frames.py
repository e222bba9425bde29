"""Frames of RTMP, as encoders make them, with the smallest payloads that have the same facts."""

from __future__ import annotations

from pybrpc.protocols.rtmp.amf0 import encode
from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.relay.shared_frames import SharedFrame


def video_header(tag: bytes = b"a") -> Frame:
    return Frame.video(b"\x17\x00\x00\x00\x00" + tag, 0)


def audio_header(tag: bytes = b"a") -> Frame:
    return Frame.audio(b"\xaf\x00" + tag, 0)


def keyframe(timestamp: int, size: int = 1) -> Frame:
    return Frame.video(b"\x17\x01\x00\x00\x00" + bytes(size), timestamp)


def picture(timestamp: int, size: int = 1) -> Frame:
    return Frame.video(b"\x27\x01\x00\x00\x00" + bytes(size), timestamp)


def sound(timestamp: int, size: int = 1) -> Frame:
    return Frame.audio(b"\xaf\x01" + bytes(size), timestamp)


def metadata(width: int = 160) -> Frame:
    return Frame.of_metadata({"width": width})


def text(value: str, timestamp: int) -> Frame:
    """A data message that is no metadata."""
    return Frame(18, encode("onTextData", value), timestamp)


def shared(frame: Frame) -> SharedFrame:
    return SharedFrame(frame, frame.timestamp)


HEADERS = [metadata(), video_header(), audio_header()]
"""The first frames of a stream."""
