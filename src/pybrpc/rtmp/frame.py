"""Frame: one message of a stream of RTMP: audio, video, or data such as the metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pybrpc.base.checked_options import checked_count, shown
from pybrpc.protocols.rtmp.amf0 import AmfError, EcmaArray, encode
from pybrpc.protocols.rtmp.command import parse_data
from pybrpc.protocols.rtmp.media import AudioFacts, VideoFacts
from pybrpc.protocols.rtmp.message import (
    AUDIO,
    DATA,
    DATA_AMF3,
    MAX_PAYLOAD_BYTES,
    U32_MASK,
    VIDEO,
    RtmpMessage,
)

KINDS = {AUDIO: "audio", VIDEO: "video", DATA: "data", DATA_AMF3: "data"}
SET_DATA_FRAME = "@setDataFrame"
ON_META_DATA = "onMetaData"


class Frame:
    """One message of audio, video or data. Immutable; its payload is read only when asked.

    `message_type` is the type on the wire: 8 for audio, 9 for video, 18 for data (15: with AMF3).
    `payload` is as on the wire: for audio and video that of an FLV tag, for data AMF0. `VideoFacts`
    and `AudioFacts` of `pybrpc.protocols.rtmp` read more facts in it: the composition time, and the
    rate and channels of sound. `timestamp` is in milliseconds, modulo 2**32: larger numbers are
    reduced to it.
    """

    __slots__ = ("message_type", "payload", "timestamp")

    def __init__(self, message_type: int, payload: bytes, timestamp: int = 0) -> None:
        """ValueError for a type that is no audio, video or data, a payload of 16 MiB or more, or a
        timestamp that is no whole number >= 0; TypeError for a payload that is no bytes."""
        if not isinstance(message_type, int) or message_type not in KINDS:
            raise ValueError(f"a frame is audio (8), video (9) or data (18), not {message_type!r}")
        if type(payload) is not bytes:
            payload = _bytes_of(payload)
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"a frame has at most {MAX_PAYLOAD_BYTES} bytes, not {len(payload)}")
        if type(timestamp) is not int or timestamp < 0:
            checked_count("timestamp", timestamp)
        self.message_type = int(message_type)
        self.payload = payload
        self.timestamp = timestamp & U32_MASK

    @classmethod
    def audio(cls, payload: bytes, timestamp: int) -> Frame:
        """`payload`: as of an FLV tag, so with the byte that names the codec. `timestamp`: ms."""
        return cls(AUDIO, payload, timestamp)

    @classmethod
    def video(cls, payload: bytes, timestamp: int) -> Frame:
        """`payload`: as of an FLV tag, so with the byte that names the codec. `timestamp`: ms."""
        return cls(VIDEO, payload, timestamp)

    @classmethod
    def of_metadata(cls, values: dict[str, Any], timestamp: int = 0) -> Frame:
        """An onMetaData message with `values`, as players get it. TypeError for what is no dict,
        or a value in it that AMF0 can't have."""
        if not isinstance(values, Mapping):
            raise TypeError(f"metadata must be a dict, not {shown(values)}")
        return cls(DATA, encode(ON_META_DATA, EcmaArray(values)), timestamp)

    @classmethod
    def of_message(cls, message: RtmpMessage) -> Frame:
        """The frame in a message of one of these types."""
        return cls(message.message_type, message.payload, message.timestamp)

    @property
    def kind(self) -> str:
        """ "audio", "video" or "data"."""
        return KINDS[self.message_type]

    @property
    def is_keyframe(self) -> bool:
        """Whether it is a picture that players can begin with."""
        return self.message_type == VIDEO and VideoFacts(self.payload).is_keyframe

    @property
    def is_sequence_header(self) -> bool:
        """Whether it has what a decoder needs to begin, and no sound or picture."""
        facts = self._facts()
        return facts is not None and facts.is_sequence_header

    @property
    def codec(self) -> str | None:
        """The name of the codec, such as "h264" or "aac"; `None` for data, or if it is unknown."""
        facts = self._facts()
        return None if facts is None else facts.codec

    @property
    def metadata(self) -> dict[str, Any] | None:
        """The values of an onMetaData message; `None` for another one, or one that is malformed."""
        if self.kind != "data":
            return None
        try:
            values = parse_data(RtmpMessage(self.message_type, self.payload))
        except AmfError:
            return None
        if values and values[0] == SET_DATA_FRAME:
            values = values[1:]
        if len(values) > 1 and values[0] == ON_META_DATA and isinstance(values[1], dict):
            return dict(values[1])
        return None

    def _facts(self) -> AudioFacts | VideoFacts | None:
        if self.message_type == VIDEO:
            return VideoFacts(self.payload)
        return AudioFacts(self.payload) if self.message_type == AUDIO else None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Frame):
            return NotImplemented
        return (self.message_type, self.timestamp, self.payload) == (
            other.message_type,
            other.timestamp,
            other.payload,
        )

    def __hash__(self) -> int:
        return hash((self.message_type, self.timestamp, self.payload))

    def __repr__(self) -> str:
        what = "keyframe" if self.is_keyframe else "header" if self.is_sequence_header else ""
        shown = " ".join(word for word in (self.kind, self.codec or "", what) if word)
        return f"<Frame {shown} at {self.timestamp} ms, {len(self.payload)} bytes>"


def check_frame(frame: object) -> None:
    """TypeError for what is no Frame."""
    if isinstance(frame, list | tuple):
        raise TypeError("frames are given one by one, not in a list: write `send(*frames)`")
    if not isinstance(frame, Frame):
        raise TypeError(f"a frame must be a pybrpc.rtmp.Frame, not {shown(frame)}")


def _bytes_of(payload: Any) -> bytes:
    """A copy of what has bytes, such as a bytearray."""
    try:
        return bytes(memoryview(payload))
    except TypeError:
        raise TypeError(f"a payload must be bytes, not {shown(payload)}") from None
