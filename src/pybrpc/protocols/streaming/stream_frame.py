"""StreamFrame: one frame of a stream, and how frames are packed.

    "STRM" | body_size: u32 | meta_size: u32 | meta | data     big-endian

`body_size` is the size of meta and data. The meta is bRPC's StreamFrameMeta
(src/brpc/streaming_rpc_meta.proto); its fields are written in the order, and with the defaults, of
C++ (SendStreamData and others in src/brpc/policy/streaming_rpc_protocol.cpp).
"""

from __future__ import annotations

import enum
import struct

from pybrpc.iobuf import BytesLike
from pybrpc.iobuf.iobuf import IOBuf

MAGIC = b"STRM"
HEADER_SIZE = 12
NO_STREAM = -1
"""As an id: there is no such stream. Every other number of 64 bits is one, also 0."""

_HEADER = struct.Struct(">4sII")
_MASK_64 = (1 << 64) - 1
_CONTINUED = b"\x20\x01"
_NOT_CONTINUED = b"\x20\x00"

SMALL_SIZE = 4096
"""Bytes. Up to this size, data is copied behind its header; above, it is shared."""


class FrameType(enum.IntEnum):
    """The kinds of frames; any other number is of no kind."""

    RST = 1
    """The stream has failed: it ends at once."""
    CLOSE = 2
    """Nothing more comes: the stream ends behind what came before."""
    DATA = 3
    FEEDBACK = 4
    """How many bytes the user of the stream has consumed."""


# Plain numbers: to look a member up in an enum class costs as much as to parse a frame.
RST, CLOSE, DATA, FEEDBACK = (int(kind) for kind in FrameType)


class StreamFrame:
    """One parsed frame. A Message, though it is neither request nor response.

    `stream_id` is the id that the receiver has given to the stream, `source_stream_id` that of the
    sender, or NO_STREAM. `data` are the bytes of a DATA frame, with `has_continuation` if the
    message goes on in the next one; `consumed_size` is for FEEDBACK.
    """

    __slots__ = (
        "consumed_size",
        "data",
        "frame_type",
        "has_continuation",
        "source_stream_id",
        "stream_id",
    )

    def __init__(
        self,
        stream_id: int,
        source_stream_id: int = NO_STREAM,
        frame_type: int = DATA,
        data: bytes = b"",
        has_continuation: bool = False,
        consumed_size: int = 0,
    ) -> None:
        self.stream_id = stream_id
        self.source_stream_id = source_stream_id
        self.frame_type = frame_type
        self.data = data
        self.has_continuation = has_continuation
        self.consumed_size = consumed_size

    @property
    def correlation_id(self) -> int:
        """No call has this number."""
        return 0

    @property
    def is_request(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StreamFrame):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __repr__(self) -> str:
        try:
            kind = FrameType(self.frame_type).name
        except ValueError:
            kind = f"type {self.frame_type}"
        return (
            f"<StreamFrame {kind} to {self.stream_id} from {self.source_stream_id}, "
            f"{len(self.data)} bytes>"
        )


def data_meta(stream_id: int, source_stream_id: int, has_continuation: bool = False) -> bytes:
    """The meta of a DATA frame: the same for all that one side sends on a stream."""
    tail = _CONTINUED if has_continuation else _NOT_CONTINUED
    return _ids(stream_id, source_stream_id) + b"\x18\x03" + tail


def pack_data(meta: bytes, data: BytesLike | IOBuf) -> IOBuf:
    """A DATA frame with a meta that `data_meta` has made. A large `data` is shared."""
    frame = IOBuf()
    append_data(frame, meta, data)
    return frame


def append_data(frames: IOBuf, meta: bytes, data: BytesLike | IOBuf) -> None:
    """Append a DATA frame to `frames`."""
    size = len(data)
    head = _HEADER.pack(MAGIC, len(meta) + size, len(meta)) + meta
    if size <= SMALL_SIZE:
        frames.append(head + (bytes(data) if type(data) is not bytes else data))
    else:
        frames.append(head)
        frames.append(data)


def pack_feedback(stream_id: int, source_stream_id: int, consumed_size: int) -> bytes:
    """A FEEDBACK frame: `consumed_size` bytes of the user were consumed since the beginning."""
    feedback = b"\x08" + _varint(consumed_size)
    tail = b"\x18\x04\x2a" + _varint(len(feedback)) + feedback
    return _frame(_ids(stream_id, source_stream_id) + tail)


def pack_close(stream_id: int, source_stream_id: int) -> bytes:
    """A CLOSE frame."""
    return _frame(_ids(stream_id, source_stream_id) + b"\x18\x02")


def pack_rst(stream_id: int) -> bytes:
    """An RST frame. It names no sender, so that it is never answered."""
    return _frame(b"\x08" + _varint(stream_id) + b"\x18\x01")


def _frame(meta: bytes) -> bytes:
    return _HEADER.pack(MAGIC, len(meta), len(meta)) + meta


def _ids(stream_id: int, source_stream_id: int) -> bytes:
    return b"\x08" + _varint(stream_id) + b"\x10" + _varint(source_stream_id)


def _varint(value: int) -> bytes:
    value &= _MASK_64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
