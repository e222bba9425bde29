"""RtmpPlayer and AioRtmpPlayer: they play a stream, and reconnect by themselves."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Self

from pybrpc.base.checked_options import checked_instance
from pybrpc.base.deadline import remaining_s
from pybrpc.errors import RpcError, StreamClosedError, StreamTimeoutError
from pybrpc.rtmp.client.aio_client import AioRtmpClient
from pybrpc.rtmp.client.client_base import RtmpClientBase, play_request
from pybrpc.rtmp.client.reconnecting import ReconnectingForm, ReconnectPolicy, deadline_of
from pybrpc.rtmp.client.reconnecting_waits import until_open, wait_open
from pybrpc.rtmp.client.rtmp_client import RtmpClient
from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.streams.aio_stream import AioRtmpStream
from pybrpc.rtmp.streams.stream import RtmpStream
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore


class _PlayerBase(ReconnectingForm):
    """The part that both forms share. Any thread."""

    def __init__(
        self,
        client: RtmpClientBase,
        name: str,
        start: float,
        duration: float,
        policy: ReconnectPolicy | None,
    ) -> None:
        super().__init__(client, play_request(name, start, duration), policy)

    def _check_ended(
        self, core: RtmpStreamCore, error: RpcError, deadline: float, timeout: float | None
    ) -> None:
        """`recv` of the stream has raised `error`. Return if the stream has ended: then the next
        one is awaited. Else raise it, or an error that names the timeout of the user."""
        if core.has_ended:
            return
        if time.monotonic() >= deadline:
            raise self._timeout_error(timeout) from None
        raise error

    def _timeout_error(self, timeout: float | None) -> StreamTimeoutError:
        return self._timed_out(f"no frame has come within {timeout} s")


class RtmpPlayer(_PlayerBase):
    """Plays a stream as long as it is not closed, over one connection after another.

        with RtmpPlayer(client, "name") as stream:
            for frame in stream: ...

    It goes on with the frames of the next connection, also when the publisher has left and comes
    again. `policy` limits the attempts; after the last one, iterating raises its error. Any thread;
    WouldDeadlockError in a callback of this library.
    """

    def __init__(
        self,
        client: RtmpClient,
        name: str,
        *,
        start: float = -2,
        duration: float = -1,
        policy: ReconnectPolicy | None = None,
    ) -> None:
        client = checked_instance("client", client, RtmpClient)
        super().__init__(client, name, start, duration, policy)

    def recv(self, timeout: float | None = None) -> Frame:
        """The next frame. Waits for it, at most `timeout` seconds: StreamTimeoutError.

        StreamClosedError once this side has closed it; the last error if the policy allows no
        attempt.
        """
        deadline = deadline_of(timeout)
        while True:
            core = wait_open(self._reconnecting, deadline)
            if core is None:
                raise self._timeout_error(timeout)
            try:
                return RtmpStream(core).recv(remaining_s(deadline))
            except RpcError as error:
                self._check_ended(core, error, deadline, timeout)

    def close(self) -> None:
        """End the stream. Never blocks."""
        self._reconnecting.close()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        try:
            return self.recv()
        except StreamClosedError:
            if self._reconnecting.is_closed:
                raise StopIteration from None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class AioRtmpPlayer(_PlayerBase):
    """`pybrpc.rtmp.aio.RtmpPlayer`: as `pybrpc.rtmp.RtmpPlayer`, for tasks."""

    def __init__(
        self,
        client: AioRtmpClient,
        name: str,
        *,
        start: float = -2,
        duration: float = -1,
        policy: ReconnectPolicy | None = None,
    ) -> None:
        client = checked_instance("client", client, AioRtmpClient)
        super().__init__(client, name, start, duration, policy)
        self._stream: AioRtmpStream | None = None

    async def recv(self, timeout: float | None = None) -> Frame:
        """As `RtmpPlayer.recv`."""
        deadline = deadline_of(timeout)
        while True:
            core = await until_open(self._reconnecting, deadline)
            if core is None:
                raise self._timeout_error(timeout)
            if self._stream is None or not self._stream.is_of(core):
                self._stream = AioRtmpStream(core)  # it lets other tasks have their turn
            try:
                return await self._stream.recv(remaining_s(deadline))
            except RpcError as error:
                self._check_ended(core, error, deadline, timeout)

    async def close(self) -> None:
        """As `RtmpPlayer.close`."""
        self._reconnecting.close()

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self

    async def __anext__(self) -> Frame:
        try:
            return await self.recv()
        except StreamClosedError:
            if self._reconnecting.is_closed:
                raise StopAsyncIteration from None
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()
