"""LoopBinding: what an AioChannel has in one loop."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import _get_running_loop
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from pybrpc.client.calls.call import Call
from pybrpc.errors import RpcError

if TYPE_CHECKING:
    from pybrpc.client.channel.base import Lease


class LoopBinding:
    """Its connections there, and how the ends of calls come to the loop's tasks.

    `crosses_threads`: the loop does not drive the connections, the dispatcher of the threads does.
    """

    __slots__ = ("crosses_threads", "lease", "loop", "source", "wakes")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, lease: Lease, crosses_threads: bool
    ) -> None:
        self.loop = loop
        self.lease = lease
        self.source = lease.source
        self.wakes = BatchedCallbacks(loop)
        self.crosses_threads = crosses_threads


Wake = tuple[Callable[[Any], object], Any, Context]


class BatchedCallbacks:
    """Of one channel in one loop. But for `put`, all is called inside the loop."""

    __slots__ = ("_calls", "_is_debugged", "_is_woken", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_debugged = loop.get_debug()
        self._waiting: list[Wake] = []
        self._calls: deque[AioCall] = deque()
        self._is_woken = False

    # --- as a future sees its loop ---

    def call_soon(
        self, callback: Callable[[Any], object], future: Any, *, context: Context | None = None
    ) -> None:
        """As that of the loop, as futures use it: of one argument, and never cancelled."""
        if not self._waiting:
            self._loop.call_soon(self._call_all)
        self._waiting.append((callback, future, copy_context() if context is None else context))

    def get_debug(self) -> bool:
        return self._is_debugged

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._loop.call_exception_handler(context)

    def _call_all(self) -> None:
        """Those that came until now; what one raises doesn't keep the others from being called."""
        self._is_debugged = self._loop.get_debug()
        waiting, self._waiting = self._waiting, []
        for called, (callback, future, context) in enumerate(waiting, 1):
            try:
                context.run(callback, future)
            except (SystemExit, KeyboardInterrupt):
                self._put_back(waiting[called:])
                raise
            except BaseException as error:
                self._loop.call_exception_handler(
                    {"message": f"Exception in callback {callback!r}", "exception": error}
                )

    def _put_back(self, left: list[Wake]) -> None:
        if left and not self._waiting:
            self._loop.call_soon(self._call_all)
        self._waiting = left + self._waiting

    # --- for other threads ---

    def put(self, call: AioCall) -> None:
        """Have `call` settled. Any thread. A loop that is closed has nobody left who waits."""
        self._calls.append(call)
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._settle_all)

    def _settle_all(self) -> None:
        self._is_woken = False
        while self._calls:
            self._calls.popleft().settle()


class AioFuture(asyncio.Future[Message]):
    """The future of one call. Cancelling it, or the task that awaits it, ends the call.

    Made with a BatchedCallbacks for its loop. `_call` and `_own_loop` are set by the call; `_call` is
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

    def begin(self, side: LoopBinding, channel: object) -> AioFuture:
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


class CrossThreadAioCall(AioCall):
    """One over the connection of the threads, whose dispatcher the loop does not drive."""

    __slots__ = ()

    def begin(self, side: LoopBinding, channel: object) -> AioFuture:
        self.source.dispatcher.require_polling()
        return AioCall.begin(self, side, channel)

    def on_done(self) -> None:
        self.source.dispatcher.release_polling()
        AioCall.on_done(self)
