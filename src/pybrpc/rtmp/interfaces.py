"""StreamConnection: the connection of a stream, as the stream sees it.

The type of streams is `Any` here, since this is below the streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pybrpc.errors import RpcError
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.message import RtmpMessage
from pybrpc.transport.socket.socket import Socket


class StreamConnection(Protocol):
    """An RtmpConnection. Any thread may call all methods."""

    socket: Socket

    @property
    def peer(self) -> str: ...

    @property
    def chunk_writer(self) -> ChunkWriter:
        """The maker of the chunks of this side. Only the holder of the write right uses it."""

    def write(self, messages: Sequence[RtmpMessage], ignore_eovercrowded: bool = False) -> None:
        """Queue messages, all or none. OvercrowdedError if the peer takes too little."""

    def end_stream(self, core: Any, error: RpcError | None) -> None:
        """End a stream for a reason of this side, and notify the peer."""

    def check_alive(self, core: Any) -> None:
        """End a stream whose socket has failed."""
