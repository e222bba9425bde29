"""An RTMP reader of its own, to judge recordings and other implementations by; not fast.

    python -m tests.oracles.rtmp_chunks FILE    print the messages of one side of a recording

It reads what one side has sent: the handshake, then chunks as sections 5.3 and 5.4 of the
specification of RTMP 1.0 say. It refuses what it doesn't know with a ValueError.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HANDSHAKE_SIZE = 1 + 2 * 1536
HEADER_SIZES = (11, 7, 3, 0)
"""Bytes of a message header by the format of its chunk."""

EXTENDED = 0xFFFFFF
SET_CHUNK_SIZE, ABORT, ACK, USER_CONTROL, WINDOW_ACK_SIZE, PEER_BANDWIDTH = range(1, 7)
AUDIO, VIDEO, DATA, COMMAND = 8, 9, 18, 20
NAMES = {
    SET_CHUNK_SIZE: "SetChunkSize",
    ABORT: "Abort",
    ACK: "Acknowledgement",
    USER_CONTROL: "UserControl",
    WINDOW_ACK_SIZE: "WindowAckSize",
    PEER_BANDWIDTH: "SetPeerBandwidth",
    AUDIO: "audio",
    VIDEO: "video",
    DATA: "data",
    COMMAND: "command",
}


@dataclass
class Message:
    """One message, and how its chunks were written.

    formats    the format (0 to 3) of each of its chunks
    end        the offset behind its last byte in what the side has sent
    """

    chunk_stream: int
    timestamp_ms: int
    kind: int
    stream_id: int
    payload: bytes
    formats: list[int]
    end: int

    def values(self) -> list[Any]:
        """The AMF0 values of a command or of data."""
        assert self.kind in (COMMAND, DATA)
        return amf0_values(self.payload)


@dataclass
class _ChunkStream:
    timestamp_ms: int = 0
    delta_ms: int = 0
    size: int = 0
    kind: int = 0
    stream_id: int = 0
    is_extended: bool = False
    payload: bytearray = field(default_factory=bytearray)
    formats: list[int] = field(default_factory=list)


def messages_of(data: bytes, handshake_size: int = HANDSHAKE_SIZE) -> Iterator[Message]:
    """The messages that a side has sent, without one that is not complete at the end."""
    streams: dict[int, _ChunkStream] = {}
    chunk_size = 128
    position = handshake_size
    try:
        while position < len(data):
            form, number, position = _basic_header(data, position)
            if form > 1 and number not in streams:
                raise ValueError(f"chunk stream {number} begins with a chunk of format {form}")
            stream = streams.setdefault(number, _ChunkStream())
            position = _message_header(stream, form, data, position)
            stream.formats.append(form)
            part = min(chunk_size, stream.size - len(stream.payload))
            if position + part > len(data):
                return
            stream.payload += data[position : position + part]
            position += part
            if len(stream.payload) < stream.size:
                continue
            message = Message(
                number,
                stream.timestamp_ms,
                stream.kind,
                stream.stream_id,
                bytes(stream.payload),
                stream.formats,
                position,
            )
            stream.payload, stream.formats = bytearray(), []
            if message.kind == SET_CHUNK_SIZE:
                chunk_size = int.from_bytes(message.payload)
            yield message
    except (IndexError, struct.error):
        return


def _basic_header(data: bytes, position: int) -> tuple[int, int, int]:
    form, number = data[position] >> 6, data[position] & 63
    if number == 0:
        return form, 64 + data[position + 1], position + 2
    if number == 1:
        return form, 64 + data[position + 1] + 256 * data[position + 2], position + 3
    return form, number, position + 1


def _message_header(stream: _ChunkStream, form: int, data: bytes, position: int) -> int:
    is_first = not stream.payload
    if not is_first and form != 3:
        raise ValueError("a message begins inside another one of its chunk stream")
    end = position + HEADER_SIZES[form]
    header = data[position:end]
    if len(header) < HEADER_SIZES[form]:
        raise IndexError
    time = int.from_bytes(header[:3])
    if form < 3:
        stream.is_extended = time == EXTENDED
    if form < 2:
        stream.size, stream.kind = int.from_bytes(header[3:6]), header[6]
    if form == 0:
        (stream.stream_id,) = struct.unpack("<I", header[7:])
    if stream.is_extended:
        (time,) = struct.unpack_from(">I", data, end)
        end += 4
    if form == 0:
        stream.timestamp_ms = stream.delta_ms = time
    elif is_first:
        stream.delta_ms = stream.delta_ms if form == 3 else time
        stream.timestamp_ms = (stream.timestamp_ms + stream.delta_ms) % 2**32
    return end


def amf0_values(data: bytes) -> list[Any]:
    """Values one after another. Objects and ECMA arrays are dicts, null and undefined are None."""
    found, position = [], 0
    while position < len(data):
        value, position = _amf0_value(data, position)
        found.append(value)
    return found


def _amf0_value(data: bytes, position: int) -> tuple[Any, int]:
    marker, position = data[position], position + 1
    match marker:
        case 0:
            return struct.unpack_from(">d", data, position)[0], position + 8
        case 1:
            return bool(data[position]), position + 1
        case 2:
            return _amf0_text(data, position)
        case 3:
            return _amf0_object(data, position)
        case 5 | 6:
            return None, position
        case 8:
            return _amf0_object(data, position + 4)
        case 10:
            values = []
            (count,) = struct.unpack_from(">I", data, position)
            position += 4
            for _ in range(count):
                value, position = _amf0_value(data, position)
                values.append(value)
            return values, position
        case _:
            raise ValueError(f"AMF0 value of the unknown type {marker}")


def _amf0_text(data: bytes, position: int) -> tuple[str, int]:
    end = position + 2 + int.from_bytes(data[position : position + 2])
    return data[position + 2 : end].decode(), end


def _amf0_object(data: bytes, position: int) -> tuple[dict[str, Any], int]:
    found = {}
    while data[position : position + 3] != b"\0\0\x09":
        name, position = _amf0_text(data, position)
        found[name], position = _amf0_value(data, position)
    return found, position + 3


def described(message: Message) -> str:
    """One line about a message."""
    formats = "".join(map(str, message.formats))
    formats = formats if len(formats) < 8 else f"{formats[0]}3*{len(formats) - 1}"
    if message.kind in (COMMAND, DATA):
        detail = ", ".join(map(repr, message.values()))
    else:
        detail = message.payload[:12].hex()
    return (
        f"{message.end:7} chunk stream {message.chunk_stream:2}  stream {message.stream_id}  "
        f"{message.timestamp_ms:6} ms  chunks {formats:8} {len(message.payload):5} bytes  "
        f"{NAMES.get(message.kind, message.kind)}: {detail}"
    )


def main(path: str) -> None:
    data = Path(path).read_bytes()
    time, version = struct.unpack_from(">II", data, 1)
    print(f"version {data[0]}, time {time}, bytes 4 to 7 {version:08x}")
    for message in messages_of(data):
        print(described(message))


if __name__ == "__main__":
    main(sys.argv[1])
