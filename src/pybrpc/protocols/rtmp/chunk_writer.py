"""ChunkWriter: turns the messages of one side of an RTMP connection into chunks.

Whole messages follow one another. A message begins with a header of fmt 0, or of fmt 1 or 2 if that
is legal, but never of fmt 3: nginx and the specification disagree about the time of such a message
(RTMP 1.0, 5.3.1.2). A time of 0xFFFFFF or more is written as an extended timestamp, with fmt 0, and
repeated in all chunks of the message. A delta that is as large is written as the time itself.
"""

from __future__ import annotations

import struct

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.rtmp.message import (
    INITIAL_CHUNK_SIZE,
    MAX_CHUNK_SIZE,
    MAX_PAYLOAD_BYTES,
    SET_CHUNK_SIZE,
    U32_MASK,
    RtmpMessage,
    number_in,
)

CONTROL_CHUNK_STREAM = 2
COMMAND_CHUNK_STREAM = 3
MAX_CHUNK_STREAM_ID = 65_599

SHARE_FROM = 4096
"""Bytes. Parts of a payload that are as long are shared with it, and shorter ones are copied."""

_EXTENDED = 0xFFFFFF
_U16_LITTLE = struct.Struct("<H")
_U32 = struct.Struct(">I")
_U32_LITTLE = struct.Struct("<I")


class _Last:
    """The header of the last message on a chunk stream."""

    __slots__ = ("length", "message_type", "stream_id", "timestamp")

    def __init__(self, message: RtmpMessage) -> None:
        self.stream_id = message.stream_id
        self.timestamp = message.timestamp & U32_MASK
        self.length = len(message.payload)
        self.message_type = message.message_type


class ChunkWriter:
    """Writes the chunks of one connection. For one thread at a time; does no I/O.

    `chunk_size` is 128 bytes until it has written a message of type SetChunkSize.
    """

    __slots__ = ("_lasts", "chunk_size")

    def __init__(self) -> None:
        self.chunk_size = INITIAL_CHUNK_SIZE
        self._lasts: dict[int, _Last] = {}

    def append(
        self, frames: IOBuf, message: RtmpMessage, chunk_stream_id: int = CONTROL_CHUNK_STREAM
    ) -> None:
        """Append `message` to `frames`, in chunks. Messages must be sent in the order of the calls.

        A chunk stream is for messages of one kind and stream, so that headers are short. It keeps a
        few integers for each id. ValueError, and nothing is appended, for an id that is not from 2
        to 65599, a payload of 16 MiB or more, or a SetChunkSize that is not allowed.
        """
        payload = message.payload
        size = len(payload)
        if not 2 <= chunk_stream_id <= MAX_CHUNK_STREAM_ID:
            raise ValueError(f"a chunk stream id is from 2 to 65599, not {chunk_stream_id}")
        if size > MAX_PAYLOAD_BYTES:
            raise ValueError(f"a message has at most {MAX_PAYLOAD_BYTES} bytes, not {size}")
        new_size = _new_chunk_size(message)
        header, extension = self._header(message, chunk_stream_id)
        if size <= self.chunk_size:
            _append_part(frames, header, payload)
        else:
            repeat = basic_header(3, chunk_stream_id) + extension
            _append_parts(frames, header, repeat, payload, self.chunk_size)
        self.chunk_size = new_size or self.chunk_size

    def forget(self, chunk_stream_id: int) -> None:
        """The next message on this chunk stream has a complete header: others have written to it
        meanwhile."""
        self._lasts.pop(chunk_stream_id, None)

    def _header(self, message: RtmpMessage, chunk_stream_id: int) -> tuple[bytes, bytes]:
        """The first header of a message, and the extended timestamp at its end, if there is one."""
        last = self._lasts.get(chunk_stream_id)
        timestamp = message.timestamp & U32_MASK
        length = len(message.payload)
        if last is not None and last.stream_id == message.stream_id:
            delta = timestamp - last.timestamp
            if 0 <= delta < _EXTENDED:
                header = basic_header(2, chunk_stream_id) + _u24(delta)
                if last.length != length or last.message_type != message.message_type:
                    tail = _u24(delta) + _u24(length) + bytes((message.message_type,))
                    header = basic_header(1, chunk_stream_id) + tail
                    last.length = length
                    last.message_type = message.message_type
                last.timestamp = timestamp
                return header, b""
        self._lasts[chunk_stream_id] = _Last(message)
        return complete_header(message, chunk_stream_id)


def complete_header(message: RtmpMessage, chunk_stream_id: int) -> tuple[bytes, bytes]:
    """A header of fmt 0, and the extended timestamp at its end, if there is one. Four bytes before
    that are the id of the stream, the least significant first."""
    timestamp = message.timestamp & U32_MASK
    extension = _U32.pack(timestamp) if timestamp >= _EXTENDED else b""
    parts = (
        basic_header(0, chunk_stream_id),
        _u24(min(timestamp, _EXTENDED)),
        _u24(len(message.payload)),
        bytes((message.message_type,)),
        _U32_LITTLE.pack(message.stream_id),
        extension,
    )
    return b"".join(parts), extension


def basic_header(fmt: int, chunk_stream_id: int) -> bytes:
    """The beginning of the header of a chunk."""
    if chunk_stream_id < 64:
        return bytes((fmt << 6 | chunk_stream_id,))
    if chunk_stream_id < 320:
        return bytes((fmt << 6, chunk_stream_id - 64))
    return bytes((fmt << 6 | 1,)) + _U16_LITTLE.pack(chunk_stream_id - 64)


def _append_part(frames: IOBuf, header: bytes, part: bytes) -> None:
    if len(part) < SHARE_FROM:
        frames.append(header + part)
    else:
        frames.append(header)
        frames.append(part)


def _append_parts(
    frames: IOBuf, header: bytes, repeat: bytes, payload: bytes, chunk_size: int
) -> None:
    """All chunks of a message that has more than one."""
    if chunk_size < SHARE_FROM:
        parts = [payload[at : at + chunk_size] for at in range(0, len(payload), chunk_size)]
        frames.append(header + repeat.join(parts))
        return
    view = memoryview(payload)
    for at in range(0, len(payload), chunk_size):
        frames.append(header)
        frames.append(view[at : at + chunk_size])
        header = repeat


def _new_chunk_size(message: RtmpMessage) -> int | None:
    if message.message_type != SET_CHUNK_SIZE:
        return None
    number = number_in(message.payload)
    if number is None or not 1 <= number <= MAX_CHUNK_SIZE:
        raise ValueError(f"{message!r} names no chunk size from 1 to {MAX_CHUNK_SIZE} bytes")
    return number


def _u24(number: int) -> bytes:
    return number.to_bytes(3, "big")
