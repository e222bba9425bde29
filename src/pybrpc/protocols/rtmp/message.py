"""RtmpMessage: one message of RTMP, and the messages that control a connection.

The payload of a control message is a number of 32 bits, big-endian; SetPeerBandwidth adds a byte,
and a UserControl message has an event of 16 bits, and one or two numbers (RTMP 1.0, 5.4 and 7.1.7).
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

U32_MASK = 0xFFFFFFFF
MAX_PAYLOAD_BYTES = 0xFFFFFF
"""The length of a message has 24 bits."""

DEFAULT_MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_CHUNK_SIZE = 0x7FFFFFFF
"""Bytes; the largest size that SetChunkSize may name. 0 is not allowed."""

INITIAL_CHUNK_SIZE = 128
DEFAULT_CHUNK_SIZE = 60_000
"""Bytes; the size that C++ bRPC sends."""

DEFAULT_ACK_WINDOW = 2_500_000
"""Bytes; the window of C++ bRPC."""

_U32 = struct.Struct(">I")
_BANDWIDTH = struct.Struct(">IB")
_EVENT = struct.Struct(">HI")


class MessageType(enum.IntEnum):
    """The types of messages; peers may send others."""

    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACK = 3
    USER_CONTROL = 4
    WINDOW_ACK = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    SHARED_OBJECT_AMF3 = 16
    COMMAND_AMF3 = 17
    DATA = 18
    SHARED_OBJECT = 19
    COMMAND = 20
    AGGREGATE = 22


# Plain numbers: to look a member up in an enum class costs as much as to parse a chunk.
SET_CHUNK_SIZE, ABORT, ACK, USER_CONTROL, WINDOW_ACK, SET_PEER_BANDWIDTH = range(1, 7)
AUDIO, VIDEO = 8, 9
DATA_AMF3, SHARED_OBJECT_AMF3, COMMAND_AMF3, DATA, SHARED_OBJECT, COMMAND = range(15, 21)
AGGREGATE = 22


class UserEvent(enum.IntEnum):
    """The events of UserControl messages; peers may send others."""

    STREAM_BEGIN = 0
    STREAM_EOF = 1
    STREAM_DRY = 2
    SET_BUFFER_LENGTH = 3
    STREAM_IS_RECORDED = 4
    PING_REQUEST = 6
    PING_RESPONSE = 7
    BUFFER_EMPTY = 31
    BUFFER_READY = 32


class BandwidthLimit(enum.IntEnum):
    """The way in which a peer takes a SetPeerBandwidth."""

    HARD = 0
    SOFT = 1
    DYNAMIC = 2


class RtmpMessage:
    """One message. `timestamp` is in milliseconds, modulo 2**32; `stream_id` is 0 for control."""

    __slots__ = ("message_type", "payload", "stream_id", "timestamp")

    def __init__(
        self, message_type: int, payload: bytes, stream_id: int = 0, timestamp: int = 0
    ) -> None:
        self.message_type = message_type
        self.payload = payload
        self.stream_id = stream_id
        self.timestamp = timestamp

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RtmpMessage):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __repr__(self) -> str:
        try:
            kind = MessageType(self.message_type).name
        except ValueError:
            kind = f"type {self.message_type}"
        return (
            f"<RtmpMessage {kind} of stream {self.stream_id} at {self.timestamp} ms, "
            f"{len(self.payload)} bytes>"
        )


@dataclass(frozen=True, slots=True)
class UserControl:
    """A UserControl message. `value` is the id of a stream, or the time of a ping; `length_ms` is
    for SET_BUFFER_LENGTH."""

    event: int
    value: int
    length_ms: int = 0


@dataclass(frozen=True, slots=True)
class PeerBandwidth:
    """A SetPeerBandwidth message; `limit` may be a number that BandwidthLimit does not have."""

    window_bytes: int
    limit: int


def set_chunk_size(size_bytes: int) -> RtmpMessage:
    """ChunkWriter uses the size after it has written this message. ValueError for a wrong size."""
    if not 1 <= size_bytes <= MAX_CHUNK_SIZE:
        raise ValueError(f"a chunk size is from 1 to {MAX_CHUNK_SIZE} bytes, not {size_bytes}")
    return RtmpMessage(SET_CHUNK_SIZE, _U32.pack(size_bytes))


def abort(chunk_stream_id: int) -> RtmpMessage:
    """Tells the peer to drop the part of a message that it has received."""
    return RtmpMessage(ABORT, _U32.pack(chunk_stream_id))


def ack(received_bytes: int) -> RtmpMessage:
    """Reports all bytes received so far; the number wraps at 2**32."""
    return RtmpMessage(ACK, _U32.pack(received_bytes & U32_MASK))


def window_ack(size_bytes: int) -> RtmpMessage:
    """Tells the peer after how many bytes it has to send an Ack."""
    return RtmpMessage(WINDOW_ACK, _U32.pack(size_bytes))


def set_peer_bandwidth(
    size_bytes: int, limit: BandwidthLimit = BandwidthLimit.DYNAMIC
) -> RtmpMessage:
    """Limits how many bytes the peer sends before an Ack."""
    return RtmpMessage(SET_PEER_BANDWIDTH, _BANDWIDTH.pack(size_bytes, limit))


def user_control(event: int, value: int, length_ms: int | None = None) -> RtmpMessage:
    """A UserControl message with one number, or two for SET_BUFFER_LENGTH."""
    payload = _EVENT.pack(event, value & U32_MASK)
    if length_ms is not None:
        payload += _U32.pack(length_ms)
    return RtmpMessage(USER_CONTROL, payload)


def ping_response(request: UserControl) -> RtmpMessage:
    """The answer to a PING_REQUEST: it repeats the time."""
    return user_control(UserEvent.PING_RESPONSE, request.value)


def number_in(payload: bytes) -> int | None:
    """The number of SetChunkSize, Abort, Ack and WindowAck; `None` if the payload is too short."""
    return int(_U32.unpack_from(payload)[0]) if len(payload) >= 4 else None


def bandwidth_in(payload: bytes) -> PeerBandwidth | None:
    """The contents of a SetPeerBandwidth; `None` if the payload is too short."""
    return PeerBandwidth(*_BANDWIDTH.unpack_from(payload)) if len(payload) >= 5 else None


def user_control_in(payload: bytes) -> UserControl | None:
    """The contents of a UserControl message; `None` if the payload is too short."""
    if len(payload) < 6:
        return None
    event, value = _EVENT.unpack_from(payload)
    if event == UserEvent.SET_BUFFER_LENGTH and len(payload) >= 10:
        return UserControl(event, value, _U32.unpack_from(payload, 6)[0])
    return UserControl(event, value)
