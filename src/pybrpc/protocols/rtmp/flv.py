"""FLV files: FlvWriter stores the messages of a stream, FlvReader returns them.

    "FLV" | version 1 | flags: u8 | header size: u32 | 0: u32
    type: u8 | size: u24 | timestamp: u24, then its upper 8 bits | 0: u24 | payload | back: u32

The payload is that of the message. `back` is the size of the tag before it; readers ignore it,
because some writers get it wrong. (FLV 10.1, E.2 and E.4.1.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from pybrpc.protocols.rtmp.command import stored_data
from pybrpc.protocols.rtmp.message import (
    AUDIO,
    DATA,
    DATA_AMF3,
    DEFAULT_MAX_MESSAGE_BYTES,
    MAX_PAYLOAD_BYTES,
    U32_MASK,
    VIDEO,
    RtmpMessage,
)

TAG_HEADER_SIZE = 11
_BACK_SIZE = 4
_SIGNATURE = b"FLV\x01"
_FILE_HEADER_SIZE = 9
_HAS_AUDIO, _HAS_VIDEO = 4, 1
_ENCRYPTED, _TYPE_MASK = 0x20, 0x1F
_READ_BYTES = 64 * 1024


class FlvError(ValueError):
    """The file is no FLV file, or one of its tags is over a limit."""


class ReadableFile(Protocol):
    """A binary file that FlvReader can read, at its front."""

    def read(self, size_bytes: int, /) -> bytes | None: ...


class WritableFile(Protocol):
    """A binary file that FlvWriter can write. `write` takes all bytes, as buffered files do."""

    def write(self, data: bytes, /) -> object: ...


class FlvWriter:
    """Writes messages to a binary file, which it neither flushes nor closes.

    The header of the file is written with the first message; `has_audio` and `has_video` go into
    it. Blocks as `file.write` does, and passes its errors on. For one thread at a time.
    """

    __slots__ = ("_file", "_header", "tag_count")

    def __init__(self, file: WritableFile, has_audio: bool = True, has_video: bool = True) -> None:
        flags = _HAS_AUDIO * has_audio | _HAS_VIDEO * has_video
        size = _FILE_HEADER_SIZE.to_bytes(4, "big")
        self._file = file
        self._header = _SIGNATURE + bytes((flags,)) + size + bytes(_BACK_SIZE)
        self.tag_count = 0

    def write(self, message: RtmpMessage) -> bool:
        """Write an audio, video or data message as a tag; False, and nothing, for any other one.

        The name "@setDataFrame" before the data is left out. ValueError for a payload of 16 MiB.
        """
        if message.message_type not in (AUDIO, VIDEO, DATA, DATA_AMF3):
            return False
        if message.message_type in (DATA, DATA_AMF3):
            message = stored_data(message)
        header = tag_header(message)
        self._file.write(self._header + header)
        self._header = b""
        if message.payload:
            self._file.write(message.payload)
        self._file.write((TAG_HEADER_SIZE + len(message.payload)).to_bytes(4, "big"))
        self.tag_count += 1
        return True

    def take_header(self) -> bytes:
        """The header of the file; b"" once it was taken or written."""
        header, self._header = self._header, b""
        return header


def tag_header(message: RtmpMessage) -> bytes:
    """The 11 bytes before the payload of a tag. ValueError for a payload of 16 MiB or more."""
    size = len(message.payload)
    if size > MAX_PAYLOAD_BYTES:
        raise ValueError(f"an FLV tag has at most {MAX_PAYLOAD_BYTES} bytes, not {size}")
    timestamp = message.timestamp & U32_MASK
    time = (timestamp & 0xFFFFFF).to_bytes(3, "big") + bytes((timestamp >> 24,))
    return bytes((message.message_type,)) + size.to_bytes(3, "big") + time + bytes(3)


class FlvReader:
    """Iterates over the audio, video and data tags of a binary file, as messages of stream 0.

    Encrypted tags and those of other types are skipped. A file that ends inside a tag ends the
    iteration, and `is_truncated` is set then: recordings that were interrupted end so. FlvError if
    the file is no FLV file, or a tag is longer than `max_tag_bytes`. Memory is allocated as bytes
    are read, not as sizes are declared. Blocks as `file.read` does, and passes its errors on. For
    one thread at a time.
    """

    __slots__ = ("_failure", "_file", "_has_begun", "_max_tag", "is_truncated")

    def __init__(self, file: ReadableFile, max_tag_bytes: int = DEFAULT_MAX_MESSAGE_BYTES) -> None:
        self._file = file
        self._max_tag = max_tag_bytes
        self._has_begun = False
        self._failure = ""
        """Why nothing more can be read."""
        self.is_truncated = False

    def __iter__(self) -> Iterator[RtmpMessage]:
        return self

    def __next__(self) -> RtmpMessage:
        if self._failure:
            raise FlvError(self._failure)
        while not self.is_truncated:
            if not self._has_begun:
                self._read_file_header()
            header = self._read(TAG_HEADER_SIZE)
            if not header:
                break
            if len(header) < TAG_HEADER_SIZE:
                self.is_truncated = True
                break
            size = int.from_bytes(header[1:4], "big")
            if size > self._max_tag:
                raise self._failed(f"a tag of {size} bytes is longer than {self._max_tag}")
            payload = self._read(size)
            if len(payload) < size:
                self.is_truncated = True
                break
            self._read(_BACK_SIZE)
            message_type = header[0] & _TYPE_MASK
            if message_type in (AUDIO, VIDEO, DATA) and not header[0] & _ENCRYPTED:
                timestamp = int.from_bytes(header[4:7], "big") | header[7] << 24
                return RtmpMessage(message_type, payload, 0, timestamp)
        raise StopIteration

    def _read_file_header(self) -> None:
        header = self._read(_FILE_HEADER_SIZE)
        if not header.startswith(_SIGNATURE) or len(header) < _FILE_HEADER_SIZE:
            raise self._failed("the file does not begin as FLV files do")
        size = int.from_bytes(header[5:], "big")
        if not _FILE_HEADER_SIZE <= size <= _READ_BYTES:
            raise self._failed(f"a file header of {size} bytes")
        self._read(size - _FILE_HEADER_SIZE + _BACK_SIZE)
        self._has_begun = True

    def _failed(self, reason: str) -> FlvError:
        self._failure = reason
        return FlvError(reason)

    def _read(self, size_bytes: int) -> bytes:
        """`size_bytes`, or fewer if the file ends before."""
        data = self._file.read(min(size_bytes, _READ_BYTES)) or b""
        if len(data) == size_bytes or not data:
            return data
        parts = bytearray(data)
        while len(parts) < size_bytes:
            more = self._file.read(min(size_bytes - len(parts), _READ_BYTES))
            if not more:
                break
            parts += more
        return bytes(parts)
