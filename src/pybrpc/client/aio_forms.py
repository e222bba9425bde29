"""The form of a call for asyncio: an awaitable future, without a task of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

from google.protobuf.message import Message

from pybrpc.client.call import Call
from pybrpc.errors import RpcError


class AioFuture(asyncio.Future[Message]):
    """The future of one call. Cancelling it, or the task that awaits it, ends the call.

    `_call` is set by the call, and `None` once it has ended.
    """

    __slots__ = ("_call",)

    _call: Call | None

    def cancel(self, msg: Any | None = None) -> bool:
        is_canceled = super().cancel(msg)
        call = self._call
        if is_canceled and call is not None:
            self._call = None
            call.abort(call.canceled_error())
        return is_canceled


class LoopMailbox:
    """Ends of calls that other threads bring to a loop; one wake-up for many of them."""

    __slots__ = ("_calls", "_is_woken", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[AioCall] = deque()
        self._is_woken = False

    def put(self, call: AioCall) -> None:
        """Any thread. A loop that is closed has nobody left who waits."""
        self._calls.append(call)
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        self._is_woken = False
        while self._calls:
            self._calls.popleft().settle()


class AioCall(Call):
    """The end of the call is told to an AioFuture, in its loop."""

    __slots__ = ("_channel", "_future", "_loop", "_mailbox")

    def begin(
        self, loop: asyncio.AbstractEventLoop, mailbox: LoopMailbox, channel: object
    ) -> AioFuture:
        """Start, and give the future. Inside `loop`. `channel` is kept until the end."""
        self._channel = channel
        self._loop = loop
        self._mailbox = mailbox
        future = self._future = AioFuture(loop=loop)
        future._call = self
        self.start()
        return future

    def on_done(self) -> None:
        if asyncio._get_running_loop() is self._loop:
            self.settle()
        else:
            self._mailbox.put(self)

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

    def begin(
        self, loop: asyncio.AbstractEventLoop, mailbox: LoopMailbox, channel: object
    ) -> AioFuture:
        self.source.dispatcher.attend()
        return AioCall.begin(self, loop, mailbox, channel)

    def on_done(self) -> None:
        self.source.dispatcher.unattend()
        AioCall.on_done(self)
