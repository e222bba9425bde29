"""Aggregate messages (type 22): several messages in one, each as a tag of FLV (RTMP 1.0, 7.1.6).

type: u8 | size: u24 | timestamp: u24, then its upper 8 bits | stream id: u24 | data | back: u32
"""

from __future__ import annotations

from pybrpc.protocols.rtmp.message import AUDIO, DATA, U32_MASK, VIDEO, RtmpMessage

MAX_PARTS = 4096
"""Messages in an aggregate."""

_HEADER_SIZE = 11
_BACK_SIZE = 4


class MalformedAggregateError(Exception):
    """A part is longer than the aggregate, or there are too many."""


def split_aggregate(message: RtmpMessage) -> list[RtmpMessage]:
    """The audio, video and data messages in an aggregate; those of other types are dropped.

    They get the stream id of the aggregate. The first one has its timestamp, the others are as far
    from it as their timestamps are from the first one's. MalformedAggregateError.
    """
    data = message.payload
    parts: list[RtmpMessage] = []
    offset: int | None = None
    at = 0
    for _ in range(MAX_PARTS + 1):
        if at >= len(data):
            return parts
        body = at + _HEADER_SIZE
        end = body + int.from_bytes(data[at + 1 : at + 4], "big")
        if end > len(data):
            raise MalformedAggregateError("a part of an aggregate message is not whole")
        time = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        if offset is None:
            offset = message.timestamp - time
        if data[at] in (AUDIO, VIDEO, DATA):
            timestamp = (time + offset) & U32_MASK
            parts.append(RtmpMessage(data[at], data[body:end], message.stream_id, timestamp))
        at = end + _BACK_SIZE
    raise MalformedAggregateError(f"an aggregate message has more than {MAX_PARTS} parts")
