"""ChunkedMessages: messages that get their chunk headers when their turn to be written comes.

A header depends on the one before it on its chunk stream, so it is made by the holder of the write
right, for one message at a time, in the order of the queue.
"""

from __future__ import annotations

from collections.abc import Sequence

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.rtmp.chunk_writer import (
    COMMAND_CHUNK_STREAM,
    CONTROL_CHUNK_STREAM,
    ChunkWriter,
)
from pybrpc.protocols.rtmp.message import AUDIO, COMMAND, DATA, VIDEO, RtmpMessage

STREAM_CHUNK_STREAMS = {COMMAND: 5, DATA: 4, AUDIO: 6, VIDEO: 7}
"""The chunk streams of messages of streams, as nginx-rtmp and FFmpeg number them."""


def chunk_stream_of(message: RtmpMessage) -> int:
    """The chunk stream on which a message is sent."""
    if message.stream_id:
        return STREAM_CHUNK_STREAMS.get(message.message_type, COMMAND_CHUNK_STREAM)
    if message.message_type == COMMAND:
        return COMMAND_CHUNK_STREAM
    return CONTROL_CHUNK_STREAM


class ChunkedMessages:
    """A SocketMessage of messages that are written one after another."""

    __slots__ = ("_messages", "_writer", "size_hint_bytes")

    def __init__(self, writer: ChunkWriter, messages: Sequence[RtmpMessage]) -> None:
        self._writer = writer
        self._messages = messages
        self.size_hint_bytes = sum(len(message.payload) + 16 for message in messages)

    def append_to(self, buffer: IOBuf) -> None:
        writer = self._writer
        for message in self._messages:
            chunk_stream_id = chunk_stream_of(message)
            if chunk_stream_id == CONTROL_CHUNK_STREAM:
                writer.forget(chunk_stream_id)  # RtmpSession writes to it too
            writer.append(buffer, message, chunk_stream_id)

    def __repr__(self) -> str:
        return f"<ChunkedMessages {len(self._messages)}>"
