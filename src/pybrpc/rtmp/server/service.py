"""RtmpService: what a server does with the streams that clients publish and play."""

from __future__ import annotations

from typing import Any

from pybrpc.base.checked_options import checked_count
from pybrpc.base.deadline import checked_timeout_s
from pybrpc.protocols.rtmp.message import DEFAULT_MAX_MESSAGE_BYTES, MAX_PAYLOAD_BYTES
from pybrpc.rtmp.server.connect_info import RtmpConnectInfo, RtmpRefused
from pybrpc.rtmp.server.rtmp_layer import MIN_ACK_WINDOW
from pybrpc.rtmp.server.server_connection import RtmpServerProtocol
from pybrpc.rtmp.server.server_stream_core import ServerStreamCore
from pybrpc.rtmp.streams.stream_core import MAX_UNREAD_BYTES

_COUNTS = ("max_streams", "max_streams_per_connection", "max_unwritten_bytes", "max_unread_bytes")


class RtmpService:
    """The base class of services of RTMP, for `Server(rtmp_service=...)`.

        class Live(RtmpService):
            async def on_publish(self, stream):
                async for frame in stream: ...

    Each function may be a plain one, which runs in a thread of its own, or an async one, which is a
    task of the loop of async handlers. When it returns, its stream is closed; if it raises, the
    stream ends, and the error is logged. The options are attributes, which a class or an object
    sets before the server is made:

    connect_timeout   seconds in which a client has to connect after its handshake; `None`: for ever
    stream_timeout    seconds in which a client that has connected, and has no stream, has to
                      publish or play; `None`: for ever
    max_streams       streams at once, of all connections; more are refused
    max_streams_per_connection   streams that one client may create
    max_unwritten_bytes   bytes that wait for one client to take them. While there are more,
                      `send_nowait` raises OvercrowdedError and `send` waits
    max_unread_bytes  bytes of one stream that were not received from it; over it the stream fails
    ack_window        bytes after which clients must acknowledge, at least 16 KiB. It limits what
                      is sent: one that acknowledges has at most twice as many, and 60 000,
                      unacknowledged. `None`: no such limit, and clients are asked to acknowledge
                      after 2 500 000
    max_message_bytes   bytes of one message; a client that sends a longer one is disconnected
    """

    connect_timeout: float | None = 5.0
    stream_timeout: float | None = 10.0
    max_streams: int = 1024
    max_streams_per_connection: int = 32
    max_unwritten_bytes: int = 2 * 1024 * 1024
    max_unread_bytes: int = MAX_UNREAD_BYTES
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    ack_window: int | None = None

    def on_connect(self, connect: RtmpConnectInfo) -> Any:
        """A client wants to connect. RtmpRefused(text) refuses it, as any other exception does."""

    def on_publish(self, stream: Any) -> Any:
        """A client wants to publish `stream`, an RtmpServerStream or AioRtmpServerStream: receive
        its frames. RtmpRefused, raised before the first one is awaited, refuses it."""
        raise RtmpRefused("Denied", "nobody can publish here")

    def on_play(self, stream: Any) -> Any:
        """A client wants to play `stream`: send frames. Refusing is done as in `on_publish`."""
        raise RtmpRefused("StreamNotFound", "nothing can be played here")

    def attach(self, core: ServerStreamCore) -> bool:
        """For services that handle frames in turns, as a relay does: whether this one takes the
        stream, instead of `on_publish` and `on_play`.

        Called in a turn, so it must not block. It sets `core.sink` of a publisher, and has
        `core.connection.accept(core)` or `.refuse(core, code, text)` called, now or later.
        """
        return False

    def overrides(self, method: str) -> bool:
        """Whether a subclass, or this object, has a function of its own of that name."""
        function = getattr(self, method)
        return getattr(function, "__func__", function) is not getattr(RtmpService, method)

    def new_protocol(self) -> RtmpServerProtocol:
        """The protocol of one server that has this service. ValueError for a wrong option."""
        for name in _COUNTS:
            checked_count(name, getattr(self, name), 1)
        checked_count("max_message_bytes", self.max_message_bytes, 1, MAX_PAYLOAD_BYTES)
        if self.ack_window is not None:
            checked_count("ack_window", self.ack_window, MIN_ACK_WINDOW)
        for name in ("connect_timeout", "stream_timeout"):
            checked_timeout_s(getattr(self, name), name)
        return RtmpServerProtocol(self)
