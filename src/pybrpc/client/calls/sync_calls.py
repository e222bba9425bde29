"""The forms of a call for threads: blocking, future, callback. Each is a Call with an `on_done`.

A future is set, and a callback called, by a completion of the dispatcher: it may run anything, and
raise anything, without concern for the thread that found the end of the call.

`new_blocking_call` and its like make them: a typed function costs a compiled caller less than a
constructor. Their arguments are those of `Call.set_up`.
"""

from __future__ import annotations

import concurrent.futures
import inspect
import sys
import threading
import time
from collections.abc import Callable
from threading import get_ident, local
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from pybrpc.base.guard import CLIENT, run_guarded
from pybrpc.base.signal_safe_condition import SignalSafeCondition
from pybrpc.client.calls.call import Call
from pybrpc.client.calls.call_record import deliver_parser_interrupt
from pybrpc.errors import RpcCanceledError, RpcError, WouldDeadlockError
from pybrpc.rpc.answering_loops import check_may_block, noted_servers
from pybrpc.rpc.method import Method
from pybrpc.rpc.raw_method import RawMethod
from pybrpc.rpc.timeout_queue import GRACE_S
from pybrpc.transport.dispatch.completion import (
    MAX_NESTED,
    release_polling,
    require_polling,
    run_completion,
)
from pybrpc.transport.dispatch.direct_waiter import DirectWaiter
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.dispatch.poller_role import Waiter
from pybrpc.transport.dispatch.step_queue import run_work

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt import AttemptConnection
    from pybrpc.client.calls.call_options import CalledMethod, CallOptions
    from pybrpc.client.calls.interfaces import ConnectionSource
    from pybrpc.rpc.controller import Controller

DoneCallback = Callable[[Any, "RpcError | None"], None]

CANCEL_FRAMES = 60
"""Frames that must be free on the stack where `cancel` begins: more than it takes to end a call and
to begin its callbacks."""


def _require_polling(call: Call, dispatcher: EventDispatcher) -> None:
    """Have `dispatcher` run until `call` ends. If it can't, as no thread can be started, the error
    is raised, and `call` does not begin."""
    try:
        require_polling(dispatcher)
    except BaseException:
        call.release_controller()
        release_polling(dispatcher)
        raise


class BlockingCall(Call):
    """A call for which the calling thread waits. The thread itself watches the deadline, so there
    is no timer."""

    __slots__ = ("_waiter",)

    def wait(self) -> Any:
        """Start, wait for the end, and return the response or raise the error.

        What a signal handler raises meanwhile (KeyboardInterrupt) cancels the call.
        """
        dispatcher = self.source.dispatcher
        if dispatcher.is_current():
            self.release_controller()
            raise WouldDeadlockError(
                f"a blocking call of {self.method.full_name} inside a callback would wait for "
                "itself; use .future or .with_callback there, or another thread"
            )
        waiter = DirectWaiter() if self.source.gives_own_connections else Waiter()
        self._waiter = waiter
        try:
            self.start(expires=False)
            if not self._wait_until(self.deadline):
                self.expire()
                if not dispatcher.wait(waiter, time.monotonic() + GRACE_S):
                    raise self._lost_error()
        except BaseException:
            self.stop_reading()
            self.abort(self.canceled_error())
            self.source.reclaim(self)
            if self.is_over:
                self._fill_guarded()
            self.release_controller()
            raise
        if self.controller is not None:
            self.fill_controller(self.controller)
        return self.message()

    def begin_reading(self, connection: AttemptConnection) -> None:
        """Read the response in this thread, if it is about to wait. That of a later retry, or of a
        call with a backup request, is read by the dispatcher."""
        direct = connection.direct
        if isinstance(self._waiter, DirectWaiter) and direct is not None and self.hedge is None:
            waiter = self._waiter
            if not waiter.may_enter or waiter.thread != get_ident():
                # Its thread may still read the connection of the last attempt.
                waiter.is_diverted = True
                waiter.end_poll()
            elif direct.try_enter(waiter):
                return
        if direct is not None:
            direct.require_reader()

    def stop_reading(self) -> None:
        if isinstance(self._waiter, DirectWaiter) and self._waiter.thread == get_ident():
            waiter = self._waiter
            direct = waiter.entered
            if direct is None and self.connection is not None:
                direct = self.connection.direct  # it was interrupted while it entered
            if direct is not None:
                direct.leave(waiter)

    def _wait_until(self, deadline: float) -> bool:
        """False at `deadline` (monotonic seconds)."""
        waiter = self._waiter
        if isinstance(waiter, DirectWaiter):
            direct_waiter = waiter
            direct_waiter.may_enter = False
            direct = direct_waiter.entered
            if direct is not None:
                direct.read_for(direct_waiter, deadline)
            if direct_waiter.is_over:
                return True
        return self.source.dispatcher.wait(waiter, deadline)

    def _lost_error(self) -> RpcError:
        """The thread that owns the call has lost it, or is busy. If it ends the call later, nobody
        looks at the outcome."""
        self._report_lost_attempt()
        error = self.timeout_error()
        self._note_last(error)
        if self.controller is not None:
            self._ended_at = time.monotonic()
            self._fill_error(self.controller, error)
        return error

    def on_done(self) -> None:
        self._waiter.end()


def new_blocking_call(
    source: ConnectionSource,
    method: CalledMethod,
    request: Any,
    timeout_s: float | None,
    options: CallOptions,
    controller: Controller | None,
) -> BlockingCall:
    call = BlockingCall.__new__(BlockingCall)
    call.set_up(source, method, request, timeout_s, options, controller)
    call.is_blocking = True
    return call


class _Canceling(local):
    """The future that a thread cancels just now."""

    depth = 0
    """Completions of cancelled futures that run inside each other in this thread."""
    future: CallFuture | None = None
    """The future whose `cancel` runs in this thread; `None` again once that has ended its call."""


_canceling = _Canceling()

_init_future = concurrent.futures.Future.__init__  # super() would take a third of its time


class CallFuture(concurrent.futures.Future[Message]):
    """The future of one call. `cancel()` ends a call that is in flight, too.

    Its done callbacks run in the dispatcher's thread. There, `result()` and `exception()` raise
    WouldDeadlockError instead of waiting for a call that only this thread could end.
    """

    _call: FutureCall | None = None
    """`None` once the callbacks may run."""
    _dispatcher: EventDispatcher | None = None
    _method: CalledMethod | None = None
    _done_callbacks: list[Callable[[concurrent.futures.Future[Message]], object]]
    _condition: threading.Condition

    def __init__(self) -> None:
        _init_future(self)
        # A lock that stays held would stop the dispatcher, which sets the result, and so all calls.
        self._condition.__class__ = SignalSafeCondition

    def cancel(self) -> bool:
        """End the call if it has not ended; True if it is cancelled.

        Its callbacks have run when this returns, as with `concurrent.futures`. If they cancel
        futures whose callbacks cancel others, and so on, the dispatcher runs those after MAX_NESTED
        soon. RecursionError, and nothing done, if the stack is nearly used up.
        """
        call = self._call
        if call is not None:
            _require_frames(CANCEL_FRAMES)
            error = call.canceled_error()
            outer, _canceling.future = _canceling.future, self
            try:
                call.abort(error)
            finally:
                is_ended_here = _canceling.future is None
                _canceling.future = outer
                if is_ended_here:
                    self._complete(call)
        return self.cancelled()

    def _complete(self, call: FutureCall) -> None:
        """`cancel` has ended the call: run its completion here, if not too many run already."""
        dispatcher = self._dispatcher
        if _canceling.depth >= MAX_NESTED and dispatcher is not None:
            run_completion(dispatcher, call)
            return
        _canceling.depth += 1
        try:
            run_work(call)
        finally:
            _canceling.depth -= 1

    def result(self, timeout: float | None = None) -> Message:
        try:
            self._check_may_wait("result", timeout)
            return super().result(timeout)
        finally:
            # An error that is raised here refers to this frame, and the future to the error.
            del self

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._check_may_wait("exception", timeout)
        return super().exception(timeout)

    def _check_may_wait(self, name: str, timeout: float | None) -> None:
        dispatcher = self._dispatcher
        if dispatcher is None or self.done() or (timeout is not None and timeout <= 0):
            return
        if dispatcher.is_current():
            raise WouldDeadlockError(
                f"{name}() of a future inside a callback would wait for the thread that it blocks; "
                "add a done callback to the future, or wait in another thread"
            )
        call = self._call
        if noted_servers and call is not None and isinstance(call.method, Method | RawMethod):
            check_may_block(call.source.endpoints, call.method.service_name, call.method.name)
        if sys.is_finalizing():
            raise WouldDeadlockError(
                f"{name}() of a future while Python ends would wait for a thread that runs no more"
            )

    def _invoke_callbacks(self) -> None:
        """Called by the base class once the future is done. Each callback is guarded."""
        if self._call is not None:
            return  # `cancel` has set the state; the completion calls this again
        callbacks, self._done_callbacks = self._done_callbacks, []
        for callback in callbacks:
            run_guarded(
                callback, self, what=f"a done callback of a call of {self._name}", log=CLIENT
            )

    @property
    def _name(self) -> str:
        return "?" if self._method is None else self._method.full_name


def _require_frames(count: int) -> None:
    """RecursionError unless `count` more frames fit on the stack."""
    if count:
        _require_frames(count - 1)


class FutureCall(Call):
    """A call that ends by setting a CallFuture."""

    __slots__ = ("_channel", "_dispatcher", "_future")

    _dispatcher: Any
    """`None` once the completion runs."""
    _future: Any
    """The CallFuture; `None` once the completion has it."""

    def begin(self, channel: object) -> CallFuture:
        """Start, and return the future. `channel` is kept until the end."""
        self._channel = channel
        future = self._future = CallFuture()
        future._call = self
        future._method = self.method
        dispatcher = self._dispatcher = future._dispatcher = self.source.dispatcher
        _require_polling(self, dispatcher)
        self.start()
        return future

    def on_done(self) -> None:
        if type(self.error) is RpcCanceledError and not self.error.is_remote:
            self._on_canceled(self._future)
        else:
            run_completion(self._dispatcher, self)

    def _on_canceled(self, future: CallFuture) -> None:
        try:
            self._cancel(future)
        finally:
            if _canceling.future is future:
                _canceling.future = None  # `cancel`, which called this, runs the completion
            else:
                run_completion(self._dispatcher, self)

    def run(self) -> None:
        """The completion of the call. Nothing happens if it has run, or runs, already."""
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is None:
            return
        try:
            self._settle(self.try_message())
        finally:
            release_polling(dispatcher)

    def _cancel(self, future: CallFuture) -> None:
        """Set the state at once, for the caller of `cancel`. The callbacks follow."""
        self._fill_guarded()
        if concurrent.futures.Future.cancel(future):
            future.set_running_or_notify_cancel()

    def _settle(self, message: Any) -> None:
        # Not in `run`: an error of the parser refers to the frames below it.
        future = self._future
        self._future = self._channel = None
        future._call = None
        error = self.take_error()
        if error is None:
            future.set_result(message)
        elif future.cancelled():
            future._invoke_callbacks()
        else:
            future.set_exception(error)
            deliver_parser_interrupt(error)

    @property
    def description(self) -> str:
        return f"the future of a call of {self.method.full_name}"


def new_future_call(
    source: ConnectionSource,
    method: CalledMethod,
    request: Any,
    timeout_s: float | None,
    options: CallOptions,
    controller: Controller | None,
) -> FutureCall:
    call = FutureCall.__new__(FutureCall)
    call.set_up(source, method, request, timeout_s, options, controller)
    return call


class CallbackCall(Call):
    """A call that ends by calling a function, mostly on the dispatcher thread."""

    __slots__ = ("_channel", "_dispatcher", "_done")

    _dispatcher: Any
    """`None` once the completion runs."""
    _done: Any
    """The callback; `None` once the completion has it."""

    def begin(self, done: DoneCallback, channel: object) -> None:
        """Start; exactly one of `done(response, None)` and `done(None, error)` follows.

        `channel` is kept until then.
        """
        self._channel = channel
        self._done = done
        dispatcher = self._dispatcher = self.source.dispatcher
        _require_polling(self, dispatcher)
        self.start()

    def on_done(self) -> None:
        run_completion(self._dispatcher, self)

    def run(self) -> None:
        """The completion of the call. Nothing happens if it has run, or runs, already."""
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is None:
            return
        try:
            self._call_done(self.try_message())
        finally:
            release_polling(dispatcher)

    def _call_done(self, message: Any) -> None:
        done = self._done
        self._done = self._channel = None
        error = self.take_error()
        try:
            returned = done(message, error)
            if returned is not None and inspect.iscoroutine(returned):
                returned.close()
                CLIENT.error(
                    "%s is an async function, and is not run: make it a plain one", self.description
                )
        except BaseException as raised:
            CLIENT.caught("%s raised", self.description, error=raised)
        finally:
            if error is not None:
                deliver_parser_interrupt(error)

    @property
    def description(self) -> str:
        return f"the callback of a call of {self.method.full_name}"


def new_callback_call(
    source: ConnectionSource,
    method: CalledMethod,
    request: Any,
    timeout_s: float | None,
    options: CallOptions,
    controller: Controller | None,
) -> CallbackCall:
    call = CallbackCall.__new__(CallbackCall)
    call.set_up(source, method, request, timeout_s, options, controller)
    return call
