"""ServerStreamCore: a stream that a client of this server publishes or plays."""

from __future__ import annotations

from typing import Protocol

from pybrpc.base.byte_budget import ByteBudget
from pybrpc.errors import RpcError
from pybrpc.protocols.rtmp.command import Command, integer_of
from pybrpc.rtmp.interfaces import StreamConnection
from pybrpc.rtmp.server.connect_info import RtmpConnectInfo
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
from pybrpc.server.connections.server_core import ServerCore

MAX_TYPE_CHARACTERS = 64

STREAM, FUNCTION = "stream", "function"
"""Both keep the connection open: the stream, and the function of the user that serves it."""


class ServerStreamConnection(StreamConnection, Protocol):
    """An RtmpServerConnection, as its streams see it. Any thread may call all methods."""

    info: RtmpConnectInfo | None

    @property
    def server(self) -> ServerCore:
        """The server, which runs the functions of services."""

    def accept(self, core: ServerStreamCore) -> None:
        """Notify the peer that it may publish or play."""

    def refuse(self, core: ServerStreamCore, code: str, text: str) -> None:
        """Notify the peer that it may not."""

    def on_released(self, core: ServerStreamCore) -> None:
        """Both a stream and its function have ended."""


class ServerStreamCore(RtmpStreamCore):
    """It holds its connection (a ConnectionUser) until both the stream and the function that serves
    it have ended. Any thread may call all methods."""

    __slots__ = ("_held_for", "is_answered", "is_deciding", "publish_type", "resets", "start")

    connection: ServerStreamConnection

    def __init__(
        self,
        connection: ServerStreamConnection,
        stream_id: int,
        budget: ByteBudget,
        max_unread_bytes: int,
    ) -> None:
        super().__init__(connection, stream_id, budget, max_unread_bytes)
        self.publish_type = "live"
        self.start = -2
        self.resets = True
        """Arguments of the command, as RtmpServerStream has them, and whether a player wants what
        it has played before to be forgotten."""
        self.is_deciding = False
        """Whether a function that decides about it keeps FUNCTION until it has returned."""
        self.is_answered = False
        """Whether the peer knows that it may publish or play, or that it may not."""
        self._held_for = {STREAM, FUNCTION}

    def take_arguments(self, command: Command) -> None:
        """Keep those of the command that begins it. No others: they could have any size."""
        if not self.is_publisher:
            self.start = integer_of(command.argument(1), -2)
            self.resets = bool(command.argument(3, True))
        elif isinstance(kind := command.argument(1), str):
            self.publish_type = kind[:MAX_TYPE_CHARACTERS]

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
