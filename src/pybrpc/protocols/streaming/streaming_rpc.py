"""StreamingRpc: parses the frames of streams. The frames share connections with baidu_std."""

from __future__ import annotations

import struct

from pybrpc.errors import ProtocolError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.protocol import NEED_MORE, NOT_MINE, Broken, ParseLimits, ParseStatus
from pybrpc.protocols.streaming.stream_frame import (
    HEADER_SIZE,
    MAGIC,
    NO_STREAM,
    SMALL_SIZE,
    StreamFrame,
)

MAX_META_SIZE = 256
"""Bytes. A meta has less than 50; fields that this side doesn't know are skipped."""

_HEADER = struct.Struct(">4sII")
_HEADER_SIZE = HEADER_SIZE
_MAX_META_SIZE = MAX_META_SIZE
_NO_STREAM = NO_STREAM
_S, _T, _R, _M = MAGIC
_SIGN_64 = 1 << 63
_COUNT_64 = 1 << 64
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5

StreamOutcome = StreamFrame | ParseStatus | Broken


class StreamingRpc:
    """The parser. It has no state; one object serves all connections and threads."""

    __slots__ = ()

    magic = MAGIC

    @property
    def name(self) -> str:
        return "streaming_rpc"

    def parse(self, buffer: IOBuf, limits: ParseLimits) -> StreamOutcome:
        """Cut one frame from the front of `buffer`, as `RpcProtocol.parse` does a message.

        A frame over the limit is Broken: nothing says to which stream it belongs before its meta
        is there, and C++ bRPC closes the connection, too.
        """
        frame = parse_fast(buffer, limits)
        if frame is not None:
            return frame
        start = buffer.peek(HEADER_SIZE)
        if len(start) < HEADER_SIZE:
            return NEED_MORE if MAGIC.startswith(start[:4]) or start[:4] == MAGIC else NOT_MINE
        magic, body_size, meta_size = _HEADER.unpack(start)
        if magic != MAGIC:
            return NOT_MINE
        if meta_size > body_size:
            return Broken(f"meta_size={meta_size} is bigger than body_size={body_size}")
        if meta_size > MAX_META_SIZE:
            return Broken(f"meta_size={meta_size} of a stream frame exceeds {MAX_META_SIZE}")
        if body_size > limits.max_body_size:
            return Broken(
                f"body_size={body_size} is larger than max_body_size={limits.max_body_size}"
            )
        if len(buffer) < HEADER_SIZE + body_size:
            return NEED_MORE
        try:
            return _parse(buffer, body_size, meta_size)
        except ProtocolError as error:
            return Broken(error.text)

    def bytes_wanted(self, buffer: IOBuf, limits: ParseLimits) -> int:
        """As `RpcProtocol.bytes_wanted`."""
        start = buffer.peek(HEADER_SIZE)
        if len(start) < HEADER_SIZE:
            return HEADER_SIZE - len(start)
        magic, body_size, meta_size = _HEADER.unpack(start)
        if magic != MAGIC or meta_size > body_size or body_size > limits.max_body_size:
            return 0
        return max(0, HEADER_SIZE + int(body_size) - len(buffer))


STREAMING_RPC = StreamingRpc()


def parse_fast(buffer: IOBuf, limits: ParseLimits) -> StreamFrame | None:
    """Cut the frame at the front of `buffer`. `None`, and nothing is cut, if it is not in one
    block, or has other fields than C++ bRPC and this package send."""
    blocks = buffer._blocks
    if not blocks or type(blocks[0]) is not bytes:
        return None
    data = block = blocks[0]
    at = buffer._start
    room = len(block) - at - _HEADER_SIZE
    if (
        room < 2
        or data[at] != _S
        or data[at + 1] != _T
        or data[at + 2] != _R
        or data[at + 3] != _M
        or data[at + 8]
        or data[at + 9]
    ):
        return None
    body_size = data[at + 4]
    body_size = body_size << 24 | data[at + 5] << 16 | data[at + 6] << 8 | data[at + 7]
    meta_size = data[at + 10] << 8 | data[at + 11]
    if (
        body_size > room
        or meta_size > body_size
        or meta_size > _MAX_META_SIZE
        or body_size > limits.max_body_size
    ):
        return None
    at += _HEADER_SIZE
    meta_end, end = at + meta_size, at + body_size
    frame = StreamFrame.__new__(StreamFrame)
    frame.stream_id = frame.source_stream_id = _NO_STREAM
    frame.frame_type = frame.consumed_size = 0
    frame.has_continuation = False
    if not parse_meta(frame, data, at, meta_end):
        return None
    frame.data = block[meta_end:end]
    buffer.pop_front(_HEADER_SIZE + body_size)
    return frame


def parse_meta(frame: StreamFrame, data: bytes, at: int, meta_end: int) -> bool:
    """Put the fields in data[at:meta_end] into `frame`. False if there are odd ones, or no id."""
    has_id = False
    while at + 1 < meta_end:
        tag, value = data[at], data[at + 1]
        at += 2
        if tag == 0x2A:
            if value < 2 or at + value != meta_end or data[at] != 0x08:
                return False
            tag, value = data[at], data[at + 1]
            at += 2
            tag = 0x2A
        number = value & 0x7F
        shift = 0
        while value >= 0x80:
            shift += 7
            if at >= meta_end or shift > 56:
                return False
            value = data[at]
            at += 1
            number |= (value & 0x7F) << shift
        if tag == 0x08:
            frame.stream_id = number
            has_id = True
        elif tag == 0x10:
            frame.source_stream_id = number
        elif tag == 0x18:
            frame.frame_type = number
        elif tag == 0x20:
            frame.has_continuation = number != 0
        elif tag == 0x2A:
            if at != meta_end:
                return False
            frame.consumed_size = number
        else:
            return False
    return at == meta_end and has_id


def _parse(buffer: IOBuf, body_size: int, meta_size: int) -> StreamFrame:
    if body_size <= SMALL_SIZE:
        whole = buffer.cut_contiguous(HEADER_SIZE + body_size)
        meta = bytes(whole[HEADER_SIZE : HEADER_SIZE + meta_size])
        data = bytes(whole[HEADER_SIZE + meta_size :])
    else:
        meta = bytes(buffer.cut_contiguous(HEADER_SIZE + meta_size)[HEADER_SIZE:])
        data = bytes(buffer.cut_contiguous(body_size - meta_size))
    frame = StreamFrame(NO_STREAM)
    if not _decode(frame, meta):
        raise ProtocolError("a stream frame has no stream_id")
    frame.data = data
    return frame


def _decode(frame: StreamFrame, meta: bytes) -> bool:
    """Put the fields of a StreamFrameMeta into `frame`. False if it has no stream id."""
    has_id = False
    at = 0
    frame.frame_type = 0
    while at < len(meta):
        tag, at = _varint(meta, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(meta, at)
            if tag == 0x08:
                frame.stream_id = _signed(value)
                has_id = True
            elif tag == 0x10:
                frame.source_stream_id = _signed(value)
            elif tag == 0x18:
                frame.frame_type = value
            elif tag == 0x20:
                frame.has_continuation = value != 0
        elif kind == _BYTES:
            size, at = _varint(meta, at)
            if size > len(meta) - at:
                raise ProtocolError("a field of a stream frame is cut off")
            if tag == 0x2A:
                frame.consumed_size = _decode_feedback(meta[at : at + size])
            at += size
        elif kind in (_FIXED_64, _FIXED_32):
            at += 8 if kind == _FIXED_64 else 4
            if at > len(meta):
                raise ProtocolError("a field of a stream frame is cut off")
        else:
            raise ProtocolError(f"a stream frame has a field of wire type {kind}")
        if tag < 8:
            raise ProtocolError("a stream frame has a field 0")
    return has_id


def _decode_feedback(feedback: bytes) -> int:
    consumed = 0
    at = 0
    while at < len(feedback):
        tag, at = _varint(feedback, at)
        if tag & 7 != _VARINT or tag < 8:
            raise ProtocolError("the feedback of a stream frame is invalid")
        value, at = _varint(feedback, at)
        if tag == 0x08:
            consumed = _signed(value)
    return consumed


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The varint at index `at` of `data`, and the index behind it."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (_COUNT_64 - 1), at
        shift += 7
    raise ProtocolError("a number in a stream frame is cut off")


def _signed(value: int) -> int:
    return value - _COUNT_64 if value >= _SIGN_64 else value
