"""HookCalls: calls the functions of an application for the beginning, or the end, of a stop."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import Context

from pybrpc.base.deadline import NEVER
from pybrpc.base.flags import OnceFlag
from pybrpc.base.guard import SERVER, run_guarded
from pybrpc.server.lifecycle.hooks import Hook, await_in, drop, error_of, name_of
from pybrpc.transport.dispatch.event_dispatcher import (
    DispatcherClosedError,
    EventDispatcher,
    TimerHandle,
    run_cleanup,
)


class HookCalls:
    """The functions for one moment of one run of a server, which are called one after another.

    They are called in a thread of their own, and async ones awaited in the loop of async handlers;
    of a server that is bound to a loop, all in that loop. What they raise is logged. When all have
    ended, or their time is over, `on_done` is called, once, in a turn of the dispatcher.
    """

    def __init__(
        self,
        dispatcher: EventDispatcher,
        bound_loop: asyncio.AbstractEventLoop | None,
        loop_of: Callable[[], asyncio.AbstractEventLoop],
        moment: str,
        functions: Sequence[Hook],
        context: Context,
        on_done: Callable[[], None],
    ) -> None:
        """`moment`: for logs, "the end"."""
        self._moment = moment
        self._functions = functions
        self._context = context
        self._dispatcher = dispatcher
        self._bound_loop = bound_loop
        self._loop_of = loop_of
        self._on_done = on_done
        self._has_begun = OnceFlag()
        self._is_done = OnceFlag()
        self._limit = NEVER
        self._timer: TimerHandle | threading.Timer | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None

    def begin(self, limit: float) -> None:
        """Begin, or bring the end forward. `limit`: the time at which their time is over."""
        if limit < self._limit:
            self._limit = limit
            if self._timer is not None:
                self._timer.cancel()
            try:
                self._timer = self._dispatcher.call_at(limit, self._give_up)
            except DispatcherClosedError:
                self._timer = self._new_thread_timer(limit)
        if not self._has_begun.try_set():
            return
        loop = self._bound_loop
        if loop is not None and asyncio._get_running_loop() is loop:
            self._task = loop.create_task(self._run_in_loop())
            return
        thread = threading.Thread(target=self._run, name="pybrpc-server-hooks", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError as error:
            SERVER.caught("the functions for %s are not called", self._moment, error=error)
            self._end()

    def _new_thread_timer(self, limit: float) -> threading.Timer | None:
        """A timer without a dispatcher, which is closed; `None` if no thread can be started."""
        timer = threading.Timer(max(0.0, limit - time.monotonic()), self._give_up)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:
            return None
        return timer

    def _run(self) -> None:
        for function in self._functions:
            if not self._is_done.is_set():
                what = f"{name_of(function)}() for {self._moment}"
                run_guarded(self._call, function, what=what, log=SERVER)
        self._end()

    def _call(self, function: Hook) -> None:
        result = self._context.run(function)
        if inspect.isawaitable(result):
            if self._bound_loop is not None:
                drop(result)
                raise RuntimeError("its loop does not run any more")
            await_in(self._loop_of(), result, self._context)

    async def _run_in_loop(self) -> None:
        try:
            for function in self._functions:
                if self._is_done.is_set():
                    return
                raised: BaseException | None
                try:
                    raised = await error_of(function, self._context)
                except asyncio.CancelledError as error:
                    if self._is_done.is_set():
                        raise
                    # Else a function cancels all tasks of the loop: the others are called still.
                    task = asyncio.current_task()
                    while task is not None and task.cancelling():
                        task.uncancel()
                    raised = error
                if raised is not None:
                    what = f"{name_of(function)}() for {self._moment}"
                    SERVER.caught("%s raised", what, error=raised)
        finally:
            self._end()

    @property
    def is_done(self) -> bool:
        """Whether all have ended, or their time is over."""
        return self._is_done.is_set()

    def is_current(self) -> bool:
        """Whether this is the thread that calls them."""
        return self._thread is threading.current_thread()

    def _give_up(self) -> None:
        if not self._is_done.is_set():
            SERVER.error("the functions for %s have not ended in time", self._moment)
            self._end()
            if self._task is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    def _end(self) -> None:
        """Any thread."""
        if self._is_done.try_set():
            if self._timer is not None:
                self._timer.cancel()
            run_cleanup(self._dispatcher, self._on_done)
