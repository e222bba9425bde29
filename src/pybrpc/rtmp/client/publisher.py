"""RtmpPublisher and AioRtmpPublisher: they publish a stream, and reconnect by themselves."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

from pybrpc.base.checked_options import checked_flag, checked_instance
from pybrpc.base.renewed import renew_in_child
from pybrpc.errors import OvercrowdedError, RpcError
from pybrpc.rtmp.client.aio_client import AioRtmpClient
from pybrpc.rtmp.client.client_base import RtmpClientBase, publish_request
from pybrpc.rtmp.client.frame_gate import FrameGate
from pybrpc.rtmp.client.opening import PublishMode
from pybrpc.rtmp.client.reconnecting import ReconnectingForm, ReconnectPolicy, deadline_of
from pybrpc.rtmp.client.reconnecting_waits import until_open, wait_open
from pybrpc.rtmp.client.rtmp_client import RtmpClient
from pybrpc.rtmp.frame import Frame, check_frame
from pybrpc.rtmp.streams.aio_stream import MAX_AT_ONCE


class _PublisherBase(ReconnectingForm):
    """The part that both forms share. Any thread."""

    def __init__(
        self,
        client: RtmpClientBase,
        name: str,
        mode: PublishMode,
        policy: ReconnectPolicy | None,
        drops_frames: bool,
    ) -> None:
        super().__init__(client, publish_request(name, mode), policy)
        self._drops = checked_flag("drops_frames", drops_frames)
        self._gate = FrameGate()
        self._lock = threading.Lock()
        self._connects = 0
        self.dropped_frames = 0
        """Frames that were not sent, without metadata and sequence headers that are sent later."""
        renew_in_child(self)

    def renew_locks(self) -> None:
        """In a forked child."""
        self._lock = threading.Lock()

    def _send(self, frames: tuple[Frame, ...], loop: asyncio.AbstractEventLoop | None) -> None:
        for frame in frames:
            check_frame(frame)
        with self._lock:
            core = self._reconnecting.poll(loop)
            if self._connects != self._reconnecting.connects:
                self._connects = self._reconnecting.connects
                self._gate.interrupt()
            if core is None:
                self._lose(frames, None)
                return
            selected, dropped = self._gate.select(frames)
            try:
                if selected:
                    core.send(selected)
            except RpcError as error:
                self._lose(frames, error)
            else:
                self.dropped_frames += dropped

    def _lose(self, frames: tuple[Frame, ...], error: RpcError | None) -> None:
        self._gate.interrupt()
        self.dropped_frames += self._gate.keep(frames)
        if not self._drops:
            client = self._reconnecting.client
            raise OvercrowdedError(
                f"frames are not sent: {error or 'the stream is not published now'}",
                peer=str(client.url.endpoint),
            )


class RtmpPublisher(_PublisherBase):
    """Publishes a stream as long as it is not closed, over one connection after another.

        with RtmpPublisher(client, "name") as out:
            out.send(frame)

    `send` never blocks. While there is no connection, or the server takes too little, frames are
    dropped, up to the next keyframe after that, or with `drops_frames=False` refused with an
    OvercrowdedError. The last metadata and sequence headers are kept, and sent first over each
    connection. `send` also begins the attempts to connect, so it has to be called again and again.

    `dropped_frames` counts the frames that were not sent, but for metadata and headers that are
    sent later. `policy` limits the attempts; after the last one, `send` raises its error. Any
    thread.
    """

    def __init__(
        self,
        client: RtmpClient,
        name: str,
        *,
        mode: PublishMode = "live",
        policy: ReconnectPolicy | None = None,
        drops_frames: bool = True,
    ) -> None:
        client = checked_instance("client", client, RtmpClient)
        super().__init__(client, name, mode, policy, drops_frames)

    def send(self, *frames: Frame) -> None:
        """Send frames, or drop them. StreamClosedError once it was closed."""
        self._send(frames, None)

    def wait_connected(self, timeout: float | None = None) -> None:
        """Wait until the stream is published, at most `timeout` seconds: StreamTimeoutError, with
        the text of the last error.

        So nothing of a file is dropped at its beginning. Errors as of `send`.
        """
        if wait_open(self._reconnecting, deadline_of(timeout)) is None:
            raise self._timed_out(f"the stream is not published within {timeout} s")

    def close(self) -> None:
        """End the stream. Never blocks: `client.close()` waits until what was sent is written."""
        self._reconnecting.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class AioRtmpPublisher(_PublisherBase):
    """`pybrpc.rtmp.aio.RtmpPublisher`: as `pybrpc.rtmp.RtmpPublisher`, for tasks."""

    def __init__(
        self,
        client: AioRtmpClient,
        name: str,
        *,
        mode: PublishMode = "live",
        policy: ReconnectPolicy | None = None,
        drops_frames: bool = True,
    ) -> None:
        client = checked_instance("client", client, AioRtmpClient)
        super().__init__(client, name, mode, policy, drops_frames)
        self._at_once = 0

    async def send(self, *frames: Frame) -> None:
        """As `RtmpPublisher.send`."""
        self._send(frames, asyncio.get_running_loop())
        self._at_once += 1
        if self._at_once > MAX_AT_ONCE or not self.is_connected:
            self._at_once = 0
            await asyncio.sleep(0)

    async def wait_connected(self, timeout: float | None = None) -> None:
        """As `RtmpPublisher.wait_connected`."""
        if await until_open(self._reconnecting, deadline_of(timeout)) is None:
            raise self._timed_out(f"the stream is not published within {timeout} s")

    async def close(self) -> None:
        """As `RtmpPublisher.close`."""
        self._reconnecting.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()
