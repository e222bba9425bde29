"""SharedFrame: a frame whose bytes on the wire are made once, for all players that get it.

The chunks of a player that is sent shared frames must not depend on what was sent to it before. So
each message begins with a complete header (fmt 0), on chunk streams that the ChunkWriter of the
connection does not use: the headers of the two never mix. A complete header costs 4 to 8 bytes a
frame, against a copy of the frame for each player.

The size of chunks is that of the connection at the moment when its bytes are written, as the holder
of the write right sees it: a SetChunkSize that is queued before is in effect then.
"""

from __future__ import annotations

from collections.abc import Sequence

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.command import first_text
from pybrpc.protocols.rtmp.media import AudioFacts, VideoFacts
from pybrpc.protocols.rtmp.message import AUDIO, DATA, U32_MASK, VIDEO, RtmpMessage
from pybrpc.rtmp.frame import ON_META_DATA, Frame

SHARED_CHUNK_STREAMS = {AUDIO: 10, VIDEO: 11, DATA: 12}
"""The chunk streams of shared frames."""

FRAME_BYTES = 400
"""Memory of a shared frame beside its bytes, as it counts."""


class SharedFrame:
    """One frame for many players. Its facts are read once. Immutable, but for the bytes it keeps:
    one copy for each size of chunks and id of a stream that was asked for."""

    __slots__ = ("_encoded", "is_header", "is_keyframe", "message_type", "payload", "timestamp")

    def __init__(self, frame: Frame, timestamp: int) -> None:
        """`timestamp`: that of players, in milliseconds."""
        self.message_type = frame.message_type
        self.payload = frame.payload
        self.timestamp = timestamp & U32_MASK
        self.is_keyframe = self.is_header = False
        if frame.message_type == VIDEO:
            video = VideoFacts(frame.payload)
            self.is_keyframe = video.is_keyframe
            self.is_header = not self.is_keyframe and video.is_sequence_header
        elif frame.message_type == AUDIO:
            self.is_header = AudioFacts(frame.payload).is_sequence_header
        self._encoded: dict[tuple[int, int], bytes] = {}

    @property
    def data_name(self) -> str | None:
        """The name at the front of a data message, such as "onMetaData"; `None` for others."""
        return None if self.message_type in (AUDIO, VIDEO) else first_text(self.message())

    @property
    def is_metadata(self) -> bool:
        """Whether it is an onMetaData message."""
        return self.data_name == ON_META_DATA

    @property
    def codec(self) -> str | None:
        """The name of its codec; `None` if it is unknown, or for data."""
        if self.message_type == VIDEO:
            return VideoFacts(self.payload).codec
        return AudioFacts(self.payload).codec if self.message_type == AUDIO else None

    def message(self, stream_id: int = 0) -> RtmpMessage:
        return RtmpMessage(self.message_type, self.payload, stream_id, self.timestamp)

    def at(self, timestamp: int) -> SharedFrame:
        """The same frame at another time."""
        return SharedFrame(Frame(self.message_type, self.payload), timestamp)

    def encoded(self, chunk_size: int, stream_id: int) -> bytes:
        """Its chunks. Any thread: two threads at once may both make them."""
        key = chunk_size, stream_id
        encoded = self._encoded.get(key)
        if encoded is None:
            buffer, writer = IOBuf(), ChunkWriter()
            writer.chunk_size = chunk_size
            chunk_stream = SHARED_CHUNK_STREAMS.get(self.message_type, SHARED_CHUNK_STREAMS[DATA])
            writer.append(buffer, self.message(stream_id), chunk_stream)
            encoded = self._encoded[key] = bytes(buffer)
        return encoded

    @property
    def size_bytes(self) -> int:
        """Bytes of memory, as they count."""
        return len(self.payload) + FRAME_BYTES

    def __repr__(self) -> str:
        return f"<SharedFrame {Frame(self.message_type, self.payload, self.timestamp)!r}>"


class SharedBatch:
    """Frames that players get together: those of one read of the publisher."""

    __slots__ = ("_encoded", "frames", "size_bytes")

    def __init__(self, frames: Sequence[SharedFrame]) -> None:
        self.frames = frames
        self.size_bytes = sum(len(frame.payload) + 16 for frame in frames)
        self._encoded: dict[tuple[int, int], bytes] = {}

    def encoded(self, chunk_size: int, stream_id: int) -> bytes:
        """The chunks of all frames, in one block, which all players share."""
        key = chunk_size, stream_id
        encoded = self._encoded.get(key)
        if encoded is None:
            parts = [frame.encoded(chunk_size, stream_id) for frame in self.frames]
            encoded = self._encoded[key] = parts[0] if len(parts) == 1 else b"".join(parts)
        return encoded


class SharedMessages:
    """A SocketMessage: a batch for one player. `writer` is that of its connection, and says how
    long chunks are when the turn of the batch has come."""

    __slots__ = ("_batch", "_stream_id", "_writer", "size_hint_bytes")

    def __init__(self, batch: SharedBatch, writer: ChunkWriter, stream_id: int) -> None:
        self._batch = batch
        self._writer = writer
        self._stream_id = stream_id
        self.size_hint_bytes = batch.size_bytes

    def append_to(self, buffer: IOBuf) -> None:
        buffer.append(self._batch.encoded(self._writer.chunk_size, self._stream_id))

    def __repr__(self) -> str:
        return f"<SharedMessages {len(self._batch.frames)}>"


class CachedMessages:
    """A SocketMessage: the frames that a player begins with. Each is a block that other players
    share, so that many players who begin at once cost the memory of one."""

    __slots__ = ("_frames", "_stream_id", "_writer", "size_hint_bytes")

    def __init__(self, frames: Sequence[SharedFrame], writer: ChunkWriter, stream_id: int) -> None:
        self._frames = frames
        self._writer = writer
        self._stream_id = stream_id
        self.size_hint_bytes = sum(len(frame.payload) + 16 for frame in frames)

    def append_to(self, buffer: IOBuf) -> None:
        chunk_size, stream_id = self._writer.chunk_size, self._stream_id
        buffer.appendv([frame.encoded(chunk_size, stream_id) for frame in self._frames])

    def __repr__(self) -> str:
        return f"<CachedMessages {len(self._frames)}>"
