"""GatheredFrames: short frames of any streams of a connection that are written as one request.

A request of its own costs each frame more than the rest of sending it. So a frame that finds
requests waiting in the socket becomes a GatheredFrames, and those that follow join it, until the
socket turns it into bytes, or it is full.

The frames of a stream stay in order: one joins only what is queued already, and was begun after all
that went to the socket for its stream. See `after_write` of SendQueue.
"""

from __future__ import annotations

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.streams.send_lock import SendLock

MAX_BYTES = 256 * 1024
"""None joins one that has so many. The backlog of a socket counts what has joined only once it is
turned into bytes, and a connection has one that is not: this is what may be uncounted."""

SHORT = 4096
"""Bytes of the longest message that is gathered."""


class GatheredFrames:
    """A SocketMessage. The lock of the SendQueue protects it until it `is_taken`."""

    __slots__ = ("_lock", "frames", "is_taken", "number")

    def __init__(self, lock: SendLock, frames: IOBuf, number: int) -> None:
        self._lock = lock
        self.frames = frames
        self.number = number
        """Which of the SendQueue it is, counted from 1."""
        self.is_taken = False
        """Whether nothing more may be added."""

    def may_join(self, joins_after: int) -> bool:
        """Whether a short frame may be added to `frames`, of a stream that may join those of a
        higher number than `joins_after`. With the lock."""
        return not self.is_taken and self.number > joins_after and len(self.frames) < MAX_BYTES

    def append_to(self, buffer: IOBuf) -> None:
        with self._lock:
            self.is_taken = True
        buffer.append(self.frames.cut_contiguous(len(self.frames)))

    def __repr__(self) -> str:
        state = ", taken" if self.is_taken else ""
        return f"<GatheredFrames {self.number} of {len(self.frames)} bytes{state}>"
