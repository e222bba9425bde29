"""Chunks of RTMP as a peer may write them, legal or not; and how a reader is fed."""

from __future__ import annotations

from collections.abc import Iterable

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.rtmp.chunk_reader import ChunkReader
from pybrpc.protocols.rtmp.message import VIDEO, RtmpMessage

EXTENDED = 0xFFFFFF


def basic_header(fmt: int, chunk_stream_id: int) -> bytes:
    if chunk_stream_id < 64:
        return bytes([fmt << 6 | chunk_stream_id])
    number = chunk_stream_id - 64
    if number < 256:
        return bytes([fmt << 6, number])
    return bytes([fmt << 6 | 1]) + number.to_bytes(2, "little")


def chunk(
    fmt: int,
    chunk_stream_id: int,
    data: bytes = b"",
    *,
    time: int = 0,
    length: int | None = None,
    kind: int = VIDEO,
    stream_id: int = 1,
) -> bytes:
    """One chunk of fmt 0, 1 or 2. `length` is that of `data` unless the message is longer."""
    is_extended = time >= EXTENDED
    header = min(time, EXTENDED).to_bytes(3, "big")
    if fmt < 2:
        header += (len(data) if length is None else length).to_bytes(3, "big") + bytes([kind])
    if fmt == 0:
        header += stream_id.to_bytes(4, "little")
    if is_extended:
        header += time.to_bytes(4, "big")
    return basic_header(fmt, chunk_stream_id) + header + data


def more(chunk_stream_id: int, data: bytes, time: int | None = None) -> bytes:
    """A chunk of fmt 3, with an extended timestamp if there is a `time`."""
    extension = b"" if time is None else time.to_bytes(4, "big")
    return basic_header(3, chunk_stream_id) + extension + data


def control(kind: int, number: int) -> bytes:
    return chunk(0, 2, number.to_bytes(4, "big"), kind=kind, stream_id=0)


def read_all(reader: ChunkReader, pieces: Iterable[bytes], at_most: int = 50) -> list[RtmpMessage]:
    """The messages of all pieces, each of which is read before the next one comes."""
    buffer, found = IOBuf(), list[RtmpMessage]()
    for piece in pieces:
        buffer.append(piece)
        while messages := reader.read(buffer, at_most):
            found += messages
        assert not buffer
    return found


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]
