"""SharedFrame: a frame that many players get, whose payload is in memory once.

The chunks of a player that is sent shared frames must not depend on what was sent to it before. So
each message begins with a complete header (fmt 0), on chunk streams that the ChunkWriter of the
connection does not use: the headers of the two never mix. A complete header costs 4 to 8 bytes a
frame, against a copy of the frame for each player.

Frames that are sent as they come are one block, which all players with the same size of chunks and
id of the stream share, and which is freed once they have written it. Frames that are kept for late
players keep no such block. A late player gets headers of its own between the payloads, which it
shares with the cache and with all others: ids of streams are chosen by peers, so a block for each
would be memory that peers can multiply.

The size of chunks is that of the connection at the moment when its bytes are written, as the holder
of the write right sees it: a SetChunkSize that is queued before is in effect then.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import chain

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter, basic_header, complete_header
from pybrpc.protocols.rtmp.command import first_text
from pybrpc.protocols.rtmp.media import AudioFacts, VideoFacts
from pybrpc.protocols.rtmp.message import AUDIO, DATA, U32_MASK, VIDEO, RtmpMessage
from pybrpc.rtmp.frame import ON_META_DATA, Frame

SHARED_CHUNK_STREAMS = {AUDIO: 10, VIDEO: 11, DATA: 12}
"""The chunk streams of shared frames."""

FRAME_BYTES = 400
"""Memory of a shared frame beside its bytes, as it counts."""

SHARE_FROM = 512
"""Bytes. Shorter parts of the chunks of a late player are copied, and joined with those around
them: an object for each would be more memory than what is counted, the bytes."""

_U32_LITTLE = struct.Struct("<I")

_Part = bytes | memoryview


class SharedFrame:
    """One frame for many players. Its facts are read once. Not changed once a player gets it."""

    __slots__ = ("_header", "is_header", "is_keyframe", "message_type", "payload", "timestamp")

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
        self._header: tuple[bytes, bytes] | None = None

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

    def parts(self, chunk_size: int, stream_id: int) -> list[_Part]:
        """Its chunks: headers, and parts of its payload, which are not copied if they are long. Any
        thread: two threads at once may both make its header."""
        chunk_stream = SHARED_CHUNK_STREAMS.get(self.message_type, SHARED_CHUNK_STREAMS[DATA])
        if self._header is None:
            self._header = complete_header(self.message(), chunk_stream)
        header, extension = self._header
        at = len(header) - len(extension)
        header = header[: at - 4] + _U32_LITTLE.pack(stream_id) + extension
        payload = self.payload
        if len(payload) <= chunk_size:
            return [header, payload]
        source: _Part = payload if chunk_size < SHARE_FROM else memoryview(payload)
        parts: list[_Part] = [header, source[:chunk_size]]
        repeat = basic_header(3, chunk_stream) + extension
        for at in range(chunk_size, len(payload), chunk_size):
            parts += (repeat, source[at : at + chunk_size])
        return parts

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
            parts = [frame.parts(chunk_size, stream_id) for frame in self.frames]
            encoded = self._encoded[key] = b"".join(chain.from_iterable(parts))
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
    """A SocketMessage: the frames that a player begins with. Its long payloads are those of the
    cache, so that many players who begin at once cost little more memory than one."""

    __slots__ = ("_frames", "_stream_id", "_writer", "size_hint_bytes")

    def __init__(self, frames: Sequence[SharedFrame], writer: ChunkWriter, stream_id: int) -> None:
        self._frames = frames
        self._writer = writer
        self._stream_id = stream_id
        self.size_hint_bytes = sum(len(frame.payload) + 16 for frame in frames)

    def append_to(self, buffer: IOBuf) -> None:
        chunk_size, stream_id = self._writer.chunk_size, self._stream_id
        parts = (frame.parts(chunk_size, stream_id) for frame in self._frames)
        buffer.appendv(_joined_if_short(chain.from_iterable(parts)))

    def __repr__(self) -> str:
        return f"<CachedMessages {len(self._frames)}>"


def _joined_if_short(parts: Iterable[_Part]) -> Iterable[_Part]:
    """The same bytes: those of short parts in a row are one part."""
    short: list[_Part] = []
    for part in parts:
        if len(part) < SHARE_FROM:
            short.append(part)
            continue
        if short:
            yield b"".join(short)
            short.clear()
        yield part
    if short:
        yield b"".join(short)
