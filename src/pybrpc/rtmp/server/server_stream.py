"""RtmpServerStream and AioRtmpServerStream: a stream as the functions of an RtmpService get it."""

from __future__ import annotations

from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.server.connect_info import RtmpConnectInfo
from pybrpc.rtmp.server.server_stream_core import ServerStreamCore
from pybrpc.rtmp.streams.aio_stream import AioRtmpStream
from pybrpc.rtmp.streams.stream import RtmpStream, RtmpStreamBase


class ServerStreamBase(RtmpStreamBase):
    """The part that both forms share.

    The peer gets its answer, that it may publish or play, at the first `accept`, `recv` or `send`,
    or when iterating begins. Until then RtmpRefused can be raised.
    """

    __slots__ = ()
    _core: ServerStreamCore

    def accept(self) -> None:
        """Tell the peer now that it may publish or play. Never blocks; again it does nothing."""
        core = self._core
        if not core.is_answered:
            core.connection.accept(core)

    @property
    def connect(self) -> RtmpConnectInfo:
        """The values with which the client has connected."""
        info = self._core.connection.info
        assert info is not None, "there are no streams before"
        return info

    @property
    def app(self) -> str:
        """The application, such as "live"."""
        return self.connect.app

    @property
    def publish_type(self) -> str:
        """The type that a publisher has sent: "live", "record", "append", or another word."""
        return self._core.publish_type

    @property
    def start(self) -> int:
        """The place where a player wants to begin, as it was sent. -2: live, or recorded if there
        is nothing live; -1: live. Some clients send seconds, others milliseconds: -2000 is -2."""
        return self._core.start

    def send_nowait(self, *frames: Frame) -> None:
        """As `RtmpStream.send_nowait`; accepts the stream."""
        self.accept()
        super().send_nowait(*frames)


class RtmpServerStream(ServerStreamBase, RtmpStream):
    """A stream as a plain function of an RtmpService gets it, for threads. As RtmpStream; `accept`,
    `recv`, `send`, `send_nowait` and iterating also tell the peer that it may publish or play."""

    __slots__ = ()

    def recv(self, timeout: float | None = None) -> Frame:
        """As `RtmpStream.recv`; accepts the stream."""
        self.accept()
        return RtmpStream.recv(self, timeout)

    def send(self, *frames: Frame, timeout: float | None = None) -> None:
        """As `RtmpStream.send`; accepts the stream."""
        self.accept()
        RtmpStream.send(self, *frames, timeout=timeout)


class AioRtmpServerStream(ServerStreamBase, AioRtmpStream):
    """A stream as an async function of an RtmpService gets it, for tasks. As AioRtmpStream;
    `accept`, `recv`, `send`, `send_nowait` and iterating also tell the peer that it may publish or
    play."""

    __slots__ = ()

    async def recv(self, timeout: float | None = None) -> Frame:
        """As `RtmpStream.recv`; accepts the stream."""
        self.accept()
        return await AioRtmpStream.recv(self, timeout)

    async def send(self, *frames: Frame, timeout: float | None = None) -> None:
        """As `RtmpStream.send`; accepts the stream."""
        self.accept()
        await AioRtmpStream.send(self, *frames, timeout=timeout)
