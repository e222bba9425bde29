"""RelayPlayer: one player of a relayed stream, and whether it keeps up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pybrpc.errors import OvercrowdedError, RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.rtmp.message import INITIAL_CHUNK_SIZE
from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.relay.gop_cache import GopCache
from pybrpc.rtmp.relay.relay_values import RelayPlayerStatistics
from pybrpc.rtmp.relay.shared_frames import CachedMessages, SharedBatch, SharedFrame, SharedMessages
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
from pybrpc.transport.writing.process_backlog import ProcessBacklog
from pybrpc.transport.writing.write_request import WriteRequest, new_write_request

REQUEST_BYTES = 1024
"""Memory of a queued write request beside its bytes, as it counts."""

BEGINNINGS_PART = 0.5
"""Part of what the connections of the process may queue together. A beginning that would exceed it
is left out: what is queued counts for each player, though its bytes are shared, and players that
read nothing must leave room for the frames of all others."""


def exceeds_part(process: ProcessBacklog | None, more_bytes: int, part: float) -> bool:
    """Whether, with so many bytes more, a larger part of what the connections of the process may
    queue would be queued."""
    limit_bytes = None if process is None else process.limit_bytes
    if process is None or limit_bytes is None:
        return False
    return process.size_bytes + more_bytes > limit_bytes * part


class RelayPlayer:
    """Sends frames to one player, unless it is too slow: then it skips all frames until a keyframe
    that comes when its queue has become short again. It is the sink of its core. In the lock of the
    relay.
    """

    __slots__ = (
        "_burst_bytes",
        "_on_left",
        "core",
        "is_skipping",
        "sent",
        "skipped",
        "version",
        "was_slow",
    )

    def __init__(self, core: RtmpStreamCore, on_left: Callable[[RelayPlayer], object]) -> None:
        """`on_left` is called when the stream of the player has ended, in any thread."""
        self._on_left = on_left
        self.core = core
        self.is_skipping = False
        self.was_slow = False
        """Whether it skips because it was too slow, not because it has just begun."""
        self.sent = 0
        self.skipped = 0
        self.version = 0
        """Version of the headers that it has got."""
        self._burst_bytes = 0

    @property
    def queued_bytes(self) -> int:
        """Memory of what its connection has not taken yet."""
        backlog = self.core.connection.socket.backlog
        return backlog.size_bytes + backlog.requests * REQUEST_BYTES

    def begin(self, cache: GopCache, timestamp: int) -> None:
        """Send what late players get first: it does not count as slow for that. `timestamp`: that
        of the last frame of the stream. It skips until the next keyframe if there are no frames
        for it, or no room for them."""
        frames = cache.beginning(timestamp)
        self.is_skipping = cache.has_video and not cache.frames
        backlog = self.core.connection.socket.backlog
        if cache.frames and exceeds_part(backlog.process, cache.size_bytes, BEGINNINGS_PART):
            frames = cache.headers_at(timestamp)
            self.is_skipping = True
        if self._write_cached(frames):
            self.version = cache.version
        else:
            self.is_skipping = self.was_slow = True

    def _write_cached(self, frames: Sequence[SharedFrame]) -> bool:
        """False if there is no room."""
        if not frames:
            return True
        message = CachedMessages(frames, self.core.connection.chunk_writer, self.core.id)
        if not self._write(_write_later(message), len(frames)):
            return False
        self._burst_bytes = message.size_hint_bytes + REQUEST_BYTES
        return True

    def send(self, batch: SharedBatch, limit_bytes: int) -> bool:
        """Send frames, or begin to skip. False if it skips now, as it is too slow."""
        queued = self.queued_bytes
        if queued > limit_bytes:
            if queued > limit_bytes + self._burst_bytes:
                return self._begin_skipping(len(batch.frames))
        else:
            self._burst_bytes = 0
        if self._write(self._request(batch), len(batch.frames)):
            return True
        return self._begin_skipping(len(batch.frames))

    def _request(self, batch: SharedBatch) -> WriteRequest:
        """The write of `batch`. A side of a connection names the size of its chunks once: when it
        is not the initial one, the SetChunkSize is on the wire before what is queued now."""
        core = self.core
        writer = core.connection.chunk_writer
        chunk_size = writer.chunk_size
        if chunk_size != INITIAL_CHUNK_SIZE:
            return new_write_request(IOBuf(batch.encoded(chunk_size, core.id)))
        return _write_later(SharedMessages(batch, writer, core.id))

    def may_resume(self, limit_bytes: int) -> bool:
        """Whether its queue is short enough to go on with a keyframe."""
        return self.queued_bytes <= limit_bytes // 2

    def resume(self, headers: Sequence[SharedFrame], batch: SharedBatch, version: int) -> None:
        """Go on with `batch`, after `headers`, of that version, if it has got others. Without room
        for either it skips on."""
        if self.version != version:
            if not self._write_cached(headers):
                self._begin_skipping(len(batch.frames))
                return
            self.version = version
        self.is_skipping = self.was_slow = False
        self.send(batch, 1 << 62)

    def _begin_skipping(self, frames: int) -> bool:
        self.is_skipping = self.was_slow = True
        self.skipped += frames
        return False

    def _write(self, request: WriteRequest, frames: int) -> bool:
        """False if there is no room. A connection that has failed ends the player later."""
        try:
            self.core.connection.socket.write_request(request)
        except OvercrowdedError:
            return False
        except RpcError:
            return True
        self.sent += frames
        return True

    # --- the sink of its core ---

    def on_frames(self, core: RtmpStreamCore, frames: list[Frame]) -> None:
        """A player sends no frames."""

    def on_ended(self, core: RtmpStreamCore) -> None:
        self._on_left(self)

    def statistics(self) -> RelayPlayerStatistics:
        return RelayPlayerStatistics(
            self.core.connection.peer,
            self.sent,
            self.skipped,
            self.core.connection.socket.backlog.size_bytes,
            self.is_skipping and self.was_slow,
        )

    def __repr__(self) -> str:
        state = "skipping" if self.is_skipping else "live"
        return f"<RelayPlayer {self.core.connection.peer}, {state}>"


def _write_later(message: SharedMessages | CachedMessages) -> WriteRequest:
    """The write of a message that is turned into bytes when its turn comes."""
    request = WriteRequest(IOBuf(), message)
    request.size_bytes = message.size_hint_bytes
    return request
