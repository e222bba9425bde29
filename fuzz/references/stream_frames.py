"""Frames of streams, taken apart with struct and protobuf alone."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from pybrpc.protocols.meta_schema import message_classes
from pybrpc.protocols.streaming.stream_frame import StreamFrame

_HEADER = struct.Struct("!4sII")
_MAX_META = 256
_VARINT, _GROUP = 0, 3

WAITING, BROKEN = 0, -1

StreamFrameMeta: Any = message_classes(
    "fuzz.streaming",
    {
        "Feedback": """
            int64 consumed_size = 1
        """,
        "StreamFrameMeta": """
            int64 stream_id = 1
            int64 source_stream_id = 2
            int64 frame_type = 3
            bool has_continuation = 4
            repeated Feedback feedback = 5
        """,
    },
)["StreamFrameMeta"]

Fields = tuple[int, int, int, bool, int, bytes]
"""Ids of receiver and sender, type, has_continuation, consumed size, data."""


@dataclass(frozen=True, slots=True)
class StreamFrames:
    """The contents of some bytes: as `Frames` of baidu_std."""

    frames: list[Fields]
    is_broken: bool
    waiting_bytes: int = 0


def stream_frames_of(stream: bytes, limit_bytes: int) -> StreamFrames:
    """The frames that a parser must find in `stream`."""
    found: list[Fields] = []
    while stream:
        fields, size = next_stream_frame(stream, limit_bytes)
        if fields is None:
            is_broken = size == BROKEN
            return StreamFrames(found, is_broken, 0 if is_broken else len(stream))
        found.append(fields)
        stream = stream[size:]
    return StreamFrames(found, False)


def next_stream_frame(stream: bytes, limit_bytes: int) -> tuple[Fields | None, int]:
    """The frame at the front, and its size; `None` and WAITING or BROKEN if there is none."""
    if len(stream) < _HEADER.size:
        return None, WAITING if b"STRM".startswith(stream[:4]) else BROKEN
    magic, body_size, meta_size = _HEADER.unpack(stream[: _HEADER.size])
    sizes_are_bad = meta_size > body_size or meta_size > _MAX_META or body_size > limit_bytes
    if magic != b"STRM" or sizes_are_bad:
        return None, BROKEN
    body = stream[_HEADER.size :][:body_size]
    if len(body) < body_size:
        return None, WAITING
    fields = _fields_of(body[:meta_size], body[meta_size:])
    return fields, BROKEN if fields is None else _HEADER.size + body_size


def fields_of_stream_frame(frame: StreamFrame) -> Fields:
    """A frame that was parsed, in the same plain fields."""
    return (
        frame.stream_id,
        frame.source_stream_id,
        frame.frame_type,
        frame.has_continuation,
        frame.consumed_size,
        frame.data,
    )


def _fields_of(meta: bytes, data: bytes) -> Fields | None:
    try:
        read = StreamFrameMeta.FromString(meta)
    except DecodeError:
        return None
    if not read.HasField("stream_id") or _GROUP in _unknown_types(read):
        return None
    if any(_unknown_types(feedback) - {_VARINT} for feedback in read.feedback):
        return None  # it has numbers alone
    return (
        read.stream_id,
        read.source_stream_id if read.HasField("source_stream_id") else -1,
        read.frame_type % (1 << 64),
        read.has_continuation,
        read.feedback[-1].consumed_size if read.feedback else 0,
        data,
    )


def _unknown_types(message: Any) -> set[int]:
    """The wire types of fields that are not known; of those, groups are not read here."""
    fields: Any = UnknownFieldSet(message)
    return {field.wire_type for field in fields}
