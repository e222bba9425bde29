"""The form of a call for asyncio: an awaitable future, without a task of its own."""

from __future__ import annotations

import asyncio
from asyncio import _get_running_loop
from typing import Any

from google.protobuf.message import Message

from pybrpc.client.call import Call
from pybrpc.client.loop_side import LoopSide
from pybrpc.errors import RpcError


class AioFuture(asyncio.Future[Message]):
    """The future of one call. Cancelling it, or the task that awaits it, ends the call.

    Made with a LoopWakes for its loop. `_call` and `_own_loop` are set by the call; `_call` is
    `None` once it has ended.
    """

    __slots__ = ("_call", "_own_loop")

    _call: Call | None
    _own_loop: asyncio.AbstractEventLoop

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._own_loop

    def cancel(self, msg: Any | None = None) -> bool:
        is_canceled = super().cancel(msg)
        call = self._call
        if is_canceled and call is not None:
            self._call = None
            call.abort(call.canceled_error())
        return is_canceled


class AioCall(Call):
    """The end of the call is told to an AioFuture, in its loop."""

    __slots__ = ("_channel", "_future", "_side")

    def begin(self, side: LoopSide, channel: object) -> AioFuture:
        """Start, and give the future. Inside the loop of `side`. `channel` is kept to the end."""
        self._channel = channel
        self._side = side
        future = self._future = AioFuture(loop=side.wakes)  # type: ignore[arg-type]
        future._own_loop = side.loop
        future._call = self
        self.start()
        return future

    def on_done(self) -> None:
        side = self._side
        if _get_running_loop() is side.loop:
            self.settle()
        else:
            side.wakes.put(self)

    def settle(self) -> None:
        """Inside the loop."""
        future = self._future
        future._call = None
        if future.done():
            return
        try:
            message = self.message()
        except RpcError as error:
            future.set_exception(error)
        else:
            future.set_result(message)


class AioCallOfThreads(AioCall):
    """One over the connection of the threads, whose dispatcher the loop does not drive."""

    __slots__ = ()

    def begin(self, side: LoopSide, channel: object) -> AioFuture:
        self.source.dispatcher.attend()
        return AioCall.begin(self, side, channel)

    def on_done(self) -> None:
        self.source.dispatcher.unattend()
        AioCall.on_done(self)
