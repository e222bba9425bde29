"""AioRtmpStream: one stream of RTMP, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pybrpc.base.deadline import checked_timeout_s, deadline_after, remaining_s
from pybrpc.base.wake_list import until_woken
from pybrpc.errors import OvercrowdedError, RpcError, StreamClosedError
from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.streams.stream import RtmpStreamBase
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
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
        self._check_receives()
        core = self._core
        await self._give_turn()
        deadline = deadline_after(checked_timeout_s(timeout))
        while (frame := core.take()) is None:
            wait = LoopWait()
            if core.begin_receive_wait(wait):
                await self._wait(wait, deadline, timeout, "receiving on")
            elif core.has_ended and not core.unread:
                raise core.end_error()
        return frame

    async def send(self, *frames: Frame, timeout: float | None = None) -> None:
        """As `RtmpStream.send`."""
        self._check_sends()
        core = self._core
        await self._give_turn()
        deadline = deadline_after(checked_timeout_s(timeout))
        while True:
            try:
                core.send(frames)
                return
            except OvercrowdedError:
                pass
            try:
                async with asyncio.timeout(remaining_s(deadline)):
                    await until_woken(core.when_writable, core.forget_wake)
            except TimeoutError:
                raise self._timeout_error("sending on", timeout) from None

    async def close(self) -> None:
        """As `RtmpStream.close`."""
        self._core.connection.end_stream(self._core, None)
        self._core.drop_unread()

    async def wait_closed(self, timeout: float | None = None) -> RpcError | None:
        """As `RtmpStream.wait_closed`."""
        wait = LoopWait()
        deadline = deadline_after(checked_timeout_s(timeout))
        if self._core.begin_ended_wait(wait):
            await self._wait(wait, deadline, timeout, "waiting for the end of")
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

    async def _wait(
        self, wait: LoopWait, deadline: float, timeout: float | None, what: str
    ) -> None:
        try:
            async with asyncio.timeout(remaining_s(deadline)):
                await wait.future
        except TimeoutError:
            raise self._timeout_error(what, timeout) from None
        finally:
            self._core.forget_wait(wait)
