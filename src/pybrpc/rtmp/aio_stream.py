"""AioRtmpStream: one stream of RTMP, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pybrpc.base.deadline import checked_timeout_s
from pybrpc.errors import OvercrowdedError, RpcError, StreamClosedError, StreamTimeoutError
from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.stream import RtmpStreamBase
from pybrpc.rtmp.stream_core import RtmpStreamCore
from pybrpc.streams.loop_calls import LoopWait

MAX_AT_ONCE = 128
"""Frames that are sent, or taken, without waiting, after which other tasks have their turn."""


class AioRtmpStream(RtmpStreamBase):
    """One stream, as RtmpStream, with methods to be awaited, in tasks of any loop. Cancelling a
    task that waits in `recv` loses no frame; the frames of a `send` that is cancelled are sent
    completely or not at all."""

    __slots__ = ("_at_once",)

    def __init__(self, core: RtmpStreamCore) -> None:
        super().__init__(core)
        self._at_once = 0

    def is_of(self, core: RtmpStreamCore) -> bool:
        """Whether it is a form of `core`."""
        return self._core is core

    async def recv(self, timeout: float | None = None) -> Frame:
        """As `RtmpStream.recv`."""
        core = self._core
        await self._give_turn()
        frame = core.take()
        if frame is not None:
            return frame
        timeout_s = checked_timeout_s(timeout)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._recv()
        except TimeoutError as error:
            raise self._timeout_error("receiving on", timeout) from error

    async def _recv(self) -> Frame:
        core = self._core
        while True:
            wait = LoopWait()
            if core.begin_receive_wait(wait):
                try:
                    await wait.future
                except BaseException:
                    core.forget_wait(wait)
                    raise
            elif core.has_ended and not core.unread:
                raise core.end_error()
            frame = core.take()
            if frame is not None:
                return frame

    async def send(self, *frames: Frame, timeout: float | None = None) -> None:
        """As `RtmpStream.send`."""
        core = self._core
        await self._give_turn()
        try:
            core.send(frames)
            return
        except OvercrowdedError:
            timeout_s = checked_timeout_s(timeout)
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    await core.connection.socket.drain()
                    try:
                        core.send(frames)
                        return
                    except OvercrowdedError:
                        continue
        except TimeoutError as error:
            raise self._timeout_error("sending on", timeout) from error

    async def close(self) -> None:
        """As `RtmpStream.close`."""
        self._core.connection.end_stream(self._core, None)
        self._core.drop_unread()

    async def wait_closed(self, timeout: float | None = None) -> RpcError | None:
        """As `RtmpStream.wait_closed`."""
        core, wait = self._core, LoopWait()
        timeout_s = checked_timeout_s(timeout)
        if core.begin_ended_wait(wait):
            try:
                async with asyncio.timeout(timeout_s):
                    await wait.future
            except BaseException as error:
                core.forget_wait(wait)
                if isinstance(error, TimeoutError):
                    what = "waiting for the end of"
                    raise self._timeout_error(what, timeout) from error
                raise
        return self.failure

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self

    async def __anext__(self) -> Frame:
        try:
            return await self.recv()
        except StreamClosedError:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> AioRtmpStream:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _give_turn(self) -> None:
        self._at_once += 1
        if self._at_once > MAX_AT_ONCE:
            self._at_once = 0
            await asyncio.sleep(0)

    def _timeout_error(self, what: str, timeout: float | None) -> StreamTimeoutError:
        core = self._core
        text = f"{what} {core.described} took more than {timeout} s"
        return StreamTimeoutError(text, peer=core.connection.peer)
