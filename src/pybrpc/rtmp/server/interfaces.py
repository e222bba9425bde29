"""Service: an RtmpService, as the connections of its server see it."""

from __future__ import annotations

from typing import Any, Protocol

from pybrpc.rtmp.server.connect_info import RtmpConnectInfo
from pybrpc.rtmp.server.server_stream_core import ServerStreamCore


class Service(Protocol):
    """Options, and functions of a user."""

    connect_timeout: float | None
    stream_timeout: float | None
    max_streams: int
    max_streams_per_connection: int
    max_unwritten_bytes: int
    max_unread_bytes: int
    max_message_bytes: int
    ack_window: int | None

    def on_connect(self, connect: RtmpConnectInfo) -> Any: ...
    def on_publish(self, stream: Any) -> Any: ...
    def on_play(self, stream: Any) -> Any: ...
    def attach(self, core: ServerStreamCore) -> bool: ...
    def overrides(self, method: str) -> bool: ...
