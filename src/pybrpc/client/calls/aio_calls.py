"""The forms of a call for asyncio, and how their outcomes reach the tasks of a loop.

A future that completes asks its loop for one handle per waiting task, which is slow: a Python
object, a copy of the context, a round of the loop. An AioFuture passes its callbacks to the
BatchedCallbacks of its loop instead. One handle of the loop then calls all collected callbacks in
the next round, each in its own context and in order, as the loop would have. Outcomes from other
threads are collected in the same way, for one wake-up of the loop.
"""

from __future__ import annotations

import asyncio
from asyncio import _get_running_loop
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from pybrpc.base.once_posted import OncePosted
from pybrpc.client.calls.call import Call
from pybrpc.client.calls.call_record import deliver_parser_interrupt
from pybrpc.errors import HandlerCanceledError

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


MOST_SETTLED = 256
"""Calls that are settled in one round of the loop. A long response may take a millisecond."""

WaitingCallback = tuple[Callable[[Any], object], Any, Context]


class BatchedCallbacks:
    """Callbacks of one channel for one loop, called together. Only `put` may be called by other
    threads."""

    __slots__ = ("_calls", "_collected", "_is_debugged", "_loop", "_settled", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_debugged = loop.get_debug()
        self._waiting: list[WaitingCallback] = []
        self._calls: deque[AioCall] = deque()
        self._collected = OncePosted()
        self._settled = OncePosted()

    # --- as a future sees its loop ---

    def call_soon(
        self, callback: Callable[[Any], object], future: Any, *, context: Context | None = None
    ) -> None:
        """Like `call_soon` of a loop, as far as futures use it: one argument, no handle."""
        self._waiting.append((callback, future, copy_context() if context is None else context))
        try:
            if not self._collected.is_posted():
                self._collected.post(self._loop, self._call_all, self._has_waiting)
        except BaseException:
            # A signal handler raised: nobody may come who posts.
            self._collected.post(self._loop, self._call_all, self._has_waiting)
            raise

    def get_debug(self) -> bool:
        return self._is_debugged

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._loop.call_exception_handler(context)

    def _call_all(self) -> None:
        """Call the callbacks collected so far. If one raises, the others are still called."""
        self._collected.begin()
        waiting, self._waiting = self._waiting, []
        called = 0
        callback: Any = None
        future: Any = None
        context: Any = None
        try:
            self._is_debugged = self._loop.get_debug()
            for callback, future, context in waiting:
                called += 1
                try:
                    context.run(callback, future)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self._loop.call_exception_handler(
                        {"message": f"Exception in callback {callback!r}", "exception": error}
                    )
        finally:
            # The error of a call refers to `AioFuture.send`, and so to this frame.
            callback = future = context = None
            left, waiting = waiting[called:], []
            if left:
                self._put_back(left)

    def _put_back(self, left: list[WaitingCallback]) -> None:
        self._waiting = left + self._waiting
        if not self._collected.is_posted():
            self._collected.post(self._loop, self._call_all, self._has_waiting)

    def _has_waiting(self) -> bool:
        return bool(self._waiting)

    # --- for other threads ---

    def put(self, call: AioCall) -> None:
        """Settle `call` in the loop. Any thread. In a loop that is closed no task waits for it."""
        self._calls.append(call)
        if not self._settled.is_posted():
            self._wake()
        elif len(self._calls) > MOST_SETTLED and self._loop.is_closed():
            self._drop_calls()  # it was closed before the round that was to settle them

    def _wake(self) -> None:
        try:
            self._settled.post_threadsafe(self._loop, self._settle_some, self._has_calls)
        except RuntimeError:
            # The loop is closed. A thread that saw it posted has put its call before that ended.
            self._drop_calls()

    def _has_calls(self) -> bool:
        return bool(self._calls)

    def _drop_calls(self) -> None:
        """No task waits for the results of these calls. Their controllers may be used again."""
        calls = self._calls
        while calls:
            calls.popleft().release_controller()

    def _settle_some(self) -> None:
        """Settle calls, a bounded number in one round of the loop."""
        self._settled.begin()
        calls = self._calls
        try:
            for _ in range(min(len(calls), MOST_SETTLED)):
                # Not `popleft`: after a call of a method a signal handler may raise.
                call = calls[0]
                del calls[0]
                self._settle(call)
        finally:
            if calls and not self._settled.is_posted():
                self._wake()

    def _settle(self, call: AioCall) -> None:
        try:
            call.settle()
        except BaseException:
            if call._future is not None:
                call.settle()  # a signal handler raised before it began
            raise


class CoroutineForm:
    """A base class of asyncio futures which are coroutines too, that await the future: so
    `asyncio.create_task` takes them."""

    __slots__ = ()

    def send(self: Any, value: None) -> Any:
        """The step of a task: wait for the call, or end with its result."""
        try:
            if self.done():
                raise StopIteration(self.result())
            self._asyncio_future_blocking = True
            return self
        finally:
            # An error that is raised here refers to this frame, and the future to the error.
            del self

    def throw(self: Any, error: Any, value: Any = None, traceback: Any = None) -> Any:
        """The task that awaits it was cancelled, so the call is."""
        try:
            self.cancel()
            raise error if value is None else value
        finally:
            del self, error, value, traceback

    def close(self: Any) -> None:
        """No task will await it: cancel the call."""
        self.cancel()


class AioFuture(CoroutineForm, asyncio.Future[Message]):
    """The future of one call. Cancelling it, or the task that awaits it, ends the call.

    It is a coroutine too, that awaits the call: so `asyncio.create_task` and
    `TaskGroup.create_task` take it. The call has begun already. `asyncio.wait` takes no coroutines,
    whatever else they are: make tasks of them for it.

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
            if not call.abort(call.canceled_error()):
                # Another thread ends the call now, and nobody will look at its results.
                call.release_controller()
        return is_canceled

    @property
    def __name__(self) -> str:
        """The name in the repr of the task."""
        call = self._call
        return type(self).__qualname__ if call is None else call.method.full_name


class AioCall(Call):
    """A call that ends by setting an AioFuture, in the loop of the future."""

    __slots__ = ("_binding", "_channel", "_future")

    _binding: LoopBinding
    _future: Any
    """The AioFuture; `None` once it is settled."""

    def begin(self, binding: LoopBinding, channel: object) -> AioFuture:
        """Start, and return the future. In the loop of `binding`. `channel` is kept until the
        end."""
        self._channel = channel
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

    @property
    def is_lost(self) -> bool:
        """Whether its loop is closed: no task gets the outcome."""
        return self._binding.loop.is_closed()

    def settle(self) -> None:
        """Set the future. Inside its loop."""
        self._set_future(self.try_message())

    def _set_future(self, message: Any) -> None:
        # Not in `settle`: an error of the parser refers to the frames below it.
        future = self._future
        self._future = self._channel = None
        future._call = None
        error = self.take_error()
        if future.done():
            return
        if error is None:
            future.set_result(message)
        else:
            future.set_exception(error)
            if type(error) is HandlerCanceledError:
                # The handler was cancelled too, so it may never ask for this error.
                future._log_traceback = False
            deliver_parser_interrupt(error)


class CrossThreadAioCall(AioCall):
    """A call over the connections of the threads, which the loop does not poll."""

    __slots__ = ()

    def begin(self, binding: LoopBinding, channel: object) -> AioFuture:
        dispatcher = self.source.dispatcher
        try:
            dispatcher.require_polling()
        except BaseException:  # no thread can be started
            self.release_controller()
            dispatcher.release_polling()
            raise
        return AioCall.begin(self, binding, channel)

    def on_done(self) -> None:
        try:
            AioCall.on_done(self)
        finally:
            self.source.dispatcher.release_polling()


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
    call._binding = binding
    call.set_up(binding.source, method, request, timeout_s, options, controller)
    return call
