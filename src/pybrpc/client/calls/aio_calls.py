"""The forms of a call for asyncio, and how their outcomes reach the tasks of a loop.

A future that completes asks its loop for one handle per waiting task, which is slow: a Python
object, a copy of the context, a round of the loop. An AioFuture passes its callbacks to the
BatchedCallbacks of its loop instead. One handle of the loop then calls all collected callbacks in
the next round, each in its own context and in order, as the loop would have. Outcomes from other
threads are collected in the same way, for one wake-up of the loop.
"""

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
    from pybrpc.client.calls.call_options import CalledMethod, CallOptions
    from pybrpc.client.calls.interfaces import ConnectionSource
    from pybrpc.rpc.controller import Controller


class LoopBinding:
    """The connections of one channel in one loop, and the way to the loop's tasks.

    `crosses_threads`: the dispatcher of the threads polls the connections, not the loop.
    """

    __slots__ = ("callbacks", "crosses_threads", "loop", "source")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, source: ConnectionSource, crosses_threads: bool
    ) -> None:
        self.loop = loop
        self.source = source
        self.callbacks = BatchedCallbacks(loop)
        self.crosses_threads = crosses_threads


WaitingCallback = tuple[Callable[[Any], object], Any, Context]


class BatchedCallbacks:
    """Callbacks of one channel for one loop, called together. Only `put` may be called by other
    threads."""

    __slots__ = ("_calls", "_is_debugged", "_is_woken", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_debugged = loop.get_debug()
        self._waiting: list[WaitingCallback] = []
        self._calls: deque[AioCall] = deque()
        self._is_woken = False

    # --- as a future sees its loop ---

    def call_soon(
        self, callback: Callable[[Any], object], future: Any, *, context: Context | None = None
    ) -> None:
        """Like `call_soon` of a loop, as far as futures use it: one argument, no handle."""
        if not self._waiting:
            self._loop.call_soon(self._call_all)
        self._waiting.append((callback, future, copy_context() if context is None else context))

    def get_debug(self) -> bool:
        return self._is_debugged

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._loop.call_exception_handler(context)

    def _call_all(self) -> None:
        """Call the callbacks collected so far. If one raises, the others are still called."""
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

    def _put_back(self, left: list[WaitingCallback]) -> None:
        if left and not self._waiting:
            self._loop.call_soon(self._call_all)
        self._waiting = left + self._waiting

    # --- for other threads ---

    def put(self, call: AioCall) -> None:
        """Settle `call` in the loop. Any thread. In a loop that is closed no task waits for it."""
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

    Made with a BatchedCallbacks for its loop. The call sets `_call` and `_own_loop`; `_call` is
    `None` once the call has ended.
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
    """A call that ends by setting an AioFuture, in the loop of the future."""

    __slots__ = ("_binding", "_channel", "_future")

    def begin(self, binding: LoopBinding, channel: object) -> AioFuture:
        """Start, and return the future. In the loop of `binding`. `channel` is kept until the
        end."""
        self._channel = channel
        self._binding = binding
        future = self._future = AioFuture(loop=binding.callbacks)  # type: ignore[arg-type]
        future._own_loop = binding.loop
        future._call = self
        self.start()
        return future

    def on_done(self) -> None:
        binding = self._binding
        if _get_running_loop() is binding.loop:
            self.settle()
        else:
            binding.callbacks.put(self)

    def settle(self) -> None:
        """Set the future. Inside its loop."""
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
    """A call over the connections of the threads, which the loop does not poll."""

    __slots__ = ()

    def begin(self, binding: LoopBinding, channel: object) -> AioFuture:
        self.source.dispatcher.require_polling()
        return AioCall.begin(self, binding, channel)

    def on_done(self) -> None:
        self.source.dispatcher.release_polling()
        AioCall.on_done(self)


def new_aio_call(
    binding: LoopBinding,
    method: CalledMethod,
    request: Any,
    timeout_s: float | None,
    options: CallOptions,
    controller: Controller | None,
) -> AioCall:
    """Make the call that `binding` needs; the other arguments are those of `Call.set_up`."""
    call: AioCall
    if binding.crosses_threads:
        call = CrossThreadAioCall.__new__(CrossThreadAioCall)
    else:
        call = AioCall.__new__(AioCall)
    call.set_up(binding.source, method, request, timeout_s, options, controller)
    return call
