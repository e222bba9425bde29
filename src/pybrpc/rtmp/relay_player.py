"""RelayPlayer: one player of a relayed stream, and whether it keeps up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pybrpc.errors import OvercrowdedError, RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.relay_values import RelayPlayerStatistics
from pybrpc.rtmp.shared_frames import CachedMessages, SharedBatch, SharedFrame, SharedMessages
from pybrpc.rtmp.stream_core import RtmpStreamCore
from pybrpc.transport.writing.write_request import WriteRequest

if TYPE_CHECKING:
    from pybrpc.rtmp.relay_stream import RelayStream

REQUEST_BYTES = 1024
"""Memory of a queued write request beside its bytes, as it counts."""


class RelayPlayer:
    """Sends frames to one player, unless it is too slow: then it skips all frames until a keyframe
    that comes when its queue has become short again. It is the sink of its core. In the lock of the
    relay.
    """

    __slots__ = (
        "_burst_bytes",
        "_stream",
        "core",
        "is_skipping",
        "sent",
        "skipped",
        "version",
        "was_slow",
    )

    def __init__(self, stream: RelayStream, core: RtmpStreamCore) -> None:
        self._stream = stream
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

    def begin(self, frames: Sequence[SharedFrame], version: int) -> None:
        """Send what late players get first. It does not count as slow for that."""
        self.version = version
        if frames:
            message = CachedMessages(frames, self.core.connection.chunk_writer, self.core.id)
            if self._write(message, len(frames)):
                self._burst_bytes = message.size_hint_bytes + REQUEST_BYTES

    def send(self, batch: SharedBatch, limit_bytes: int) -> bool:
        """Send frames, or begin to skip. False if it skips now, as it is too slow."""
        queued = self.queued_bytes
        if queued > limit_bytes:
            if queued > limit_bytes + self._burst_bytes:
                return self._begin_skipping(len(batch.frames))
        else:
            self._burst_bytes = 0
        core = self.core
        message = SharedMessages(batch, core.connection.chunk_writer, core.id)
        if self._write(message, len(batch.frames)):
            return True
        return self._begin_skipping(len(batch.frames))

    def may_resume(self, limit_bytes: int) -> bool:
        """Whether its queue is short enough to go on with a keyframe."""
        return self.queued_bytes <= limit_bytes // 2

    def resume(self, headers: Sequence[SharedFrame], batch: SharedBatch, version: int) -> None:
        """Go on with `batch`. `headers` are new to it."""
        self.is_skipping = self.was_slow = False
        if headers:
            self.begin(headers, version)
        if not self.send(batch, 1 << 62):
            self.was_slow = True

    def _begin_skipping(self, frames: int) -> bool:
        self.is_skipping = self.was_slow = True
        self.skipped += frames
        return False

    def _write(self, message: SharedMessages | CachedMessages, frames: int) -> bool:
        """False if there is no room. A connection that has failed ends the player later."""
        request = WriteRequest(IOBuf(), message)
        request.size_bytes = message.size_hint_bytes
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
        self._stream.remove_player(self)

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
