"""AioRtmpClient: publishes and plays streams, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, NoReturn, Self

from pybrpc.base.deadline import checked_timeout_s
from pybrpc.rtmp.client.client_base import RtmpClientBase, play_request, publish_request
from pybrpc.rtmp.client.opening import PublishMode, StreamOpening, StreamRequest
from pybrpc.rtmp.client.rtmp_client import CLOSE_TIMEOUT_S
from pybrpc.rtmp.streams.aio_stream import AioRtmpStream
from pybrpc.streams.loop_calls import LoopWait


class AioRtmpClient(RtmpClientBase):
    """`pybrpc.rtmp.aio.RtmpClient`: as `pybrpc.rtmp.RtmpClient`, for tasks.

        async with client.publish("name") as out:
            await out.send(frame)
        async with client.play("name") as stream:
            async for frame in stream: ...

    The loop in which a stream is opened polls its connection: each loop has connections of its
    own, and the streams of a loop that is closed end with an error. `publish` and `play` may be
    awaited too, each once.
    """

    _public_name = "pybrpc.rtmp.aio.RtmpClient"

    def publish(self, name: str, *, mode: PublishMode = "live") -> AioOpening:
        """As `RtmpClient.publish`; the server is asked when this is awaited or entered."""
        return AioOpening(self, publish_request(name, mode))

    def play(self, name: str, *, start: float = -2, duration: float = -1) -> AioOpening:
        """As `RtmpClient.play`; the server is asked when this is awaited or entered."""
        return AioOpening(self, play_request(name, start, duration))

    async def close(self, timeout: float | None = CLOSE_TIMEOUT_S) -> None:
        """As `RtmpClient.close`."""
        timeout_s = checked_timeout_s(timeout)
        try:
            async with asyncio.timeout(timeout_s) as limit:
                for connection in self._begin_close():
                    wait = LoopWait()
                    if connection.begin_end_wait(wait):
                        await wait.future
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            self._release()
        await asyncio.sleep(0)  # the descriptor is closed in the loop's next turn

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    def __enter__(self) -> NoReturn:
        raise TypeError(f"use `async with {self._public_name}`; for `with`, pybrpc.rtmp.RtmpClient")

    def __exit__(self, *exception: object) -> None: ...


class AioOpening:
    """A stream that is opened when this is awaited, or entered by `async with`: once, else
    RuntimeError, as for a coroutine."""

    __slots__ = ("_client", "_has_begun", "_request", "_stream")

    def __init__(self, client: AioRtmpClient, request: StreamRequest) -> None:
        self._client = client
        self._request = request
        self._has_begun = False
        self._stream: AioRtmpStream | None = None

    def __await__(self) -> Generator[Any, None, AioRtmpStream]:
        return self._open().__await__()

    async def __aenter__(self) -> AioRtmpStream:
        self._stream = await self._open()
        return self._stream

    async def __aexit__(self, *exception: object) -> None:
        if self._stream is not None:
            await self._stream.close()

    async def _open(self) -> AioRtmpStream:
        if self._has_begun:
            raise RuntimeError("each call of publish() or play() opens one stream: call it again")
        self._has_begun = True
        client = self._client
        while True:
            opening = client.open_nowait(self._request, asyncio.get_running_loop())
            await until_opened(opening, client.options.timeout)
            if not client.must_open_again(opening):
                return AioRtmpStream(opening.result())


async def until_opened(opening: StreamOpening, timeout_s: float | None) -> None:
    """As `wait_opened`."""
    try:
        if not opening.is_sent:
            wait = LoopWait()
            # Store, then load: it may have been sent before the wait began.
            if opening.begin_wait(wait) and not opening.is_sent:
                await wait.future
        try:
            async with asyncio.timeout(timeout_s) as limit:
                while not opening.is_over:
                    # The wait may end because it was sent only now.
                    wait = LoopWait()
                    if opening.begin_wait(wait):
                        await wait.future
        except TimeoutError:
            if not limit.expired():
                raise
            opening.time_out(timeout_s)
    except BaseException:
        opening.abandon()
        raise
