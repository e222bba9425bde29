"""ServerStreamCore: a stream that a client of this server publishes or plays."""

from __future__ import annotations

from typing import Any

from pybrpc.base.byte_budget import ByteBudget
from pybrpc.errors import RpcError
from pybrpc.rtmp.interfaces import ServerStreamConnection
from pybrpc.rtmp.stream_core import RtmpStreamCore

STREAM, FUNCTION = "stream", "function"
"""Both keep the connection open: the stream, and the function of the user that serves it."""


class ServerStreamCore(RtmpStreamCore):
    """It holds its connection (a ConnectionUser) until both the stream and the function that serves
    it have ended. Any thread may call all methods."""

    __slots__ = ("_held_for", "arguments", "is_answered")

    connection: ServerStreamConnection

    def __init__(
        self,
        connection: ServerStreamConnection,
        stream_id: int,
        budget: ByteBudget,
        max_unread_bytes: int,
    ) -> None:
        super().__init__(connection, stream_id, budget, max_unread_bytes)
        self.arguments: tuple[Any, ...] = ()
        """Those of the command behind the name."""
        self.is_answered = False
        """Whether the peer knows that it may publish or play, or that it may not."""
        self._held_for = {STREAM, FUNCTION}

    def take_answer(self) -> bool:
        """Whether the caller has to answer: True for the first one."""
        with self._lock:
            if self.is_answered:
                return False
            self.is_answered = True
            return True

    def release(self, part: str) -> None:
        """The stream, or its function, has ended. Again it does nothing."""
        with self._lock:
            if part not in self._held_for:
                return
            self._held_for.remove(part)
            if self._held_for:
                return
        self.connection.on_released(self)

    def on_connection_failed(self, connection: object, error: RpcError) -> None:
        self.end(error.copy())
        self.release(STREAM)
