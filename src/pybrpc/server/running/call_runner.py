"""CallRunner: the coroutine of a HandlerLoop's task. It runs calls in a row until one waits.

A task for each call would cost more than most handlers: to make it, to queue it in the loop, to
queue its callbacks when it is done. A handler that finishes without waiting needs no task of its
own. So the calls of one read begin in one task. The first call that waits keeps the task, and the
other calls go to other tasks. Responses that are ready at once are written together.

Handlers can't observe that they share a task: each call has its own context, so context variables
don't pass from one call to the next, and a task that a handler has kept, made a weak reference to,
or cancelled, is not used for another call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from sys import getrefcount
from typing import TYPE_CHECKING, Any, Final
from weakref import getweakrefcount

from pybrpc.rpc.controller import Controller

if TYPE_CHECKING:
    from pybrpc.server.calls.server_call import ServerCall
    from pybrpc.server.running.handler_loop import HandlerLoop

_OVER: Final = object()
"""Result of a step after which the call is answered, instead of something to wait for."""


class CallRunner:
    """A coroutine, as a task sees it. Used only in the thread of its loop."""

    __slots__ = ("_call", "_calls", "_context", "_controller", "_coroutine", "_has_waited", "_loop")

    def __init__(self, loop: HandlerLoop, calls: deque[ServerCall]) -> None:
        self._loop = loop
        self._calls = calls
        self._call: ServerCall | None = None
        self._controller: Controller | None = None
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        self._context: Context | None = None
        self._has_waited = False

    def send(self, value: object) -> Any:
        coroutine = self._coroutine
        if coroutine is None:
            return self._run_calls()
        waits_for = self._step(coroutine.send, value)
        if waits_for is _OVER:
            raise StopIteration
        return waits_for

    def throw(self, error: BaseException) -> Any:
        coroutine = self._coroutine
        if coroutine is None:
            for call in self._take_calls():
                controller = call.make_controller()
                call.fail(controller, error)
                self._loop.answer(call, call.pack(controller, None))
            raise error
        waits_for = self._step(coroutine.throw, error)
        if waits_for is _OVER:
            raise StopIteration
        return waits_for

    def close(self) -> None:
        """End the calls without responses: the loop is gone, so nothing can be written."""
        coroutine, self._coroutine = self._coroutine, None
        try:
            if coroutine is not None:
                coroutine.close()
        finally:
            for call in self._take_calls():
                call.end()

    def __await__(self) -> CallRunner:
        return self

    def __del__(self) -> None:
        if self._call is not None or self._calls:
            self.close()

    def name(self) -> str:
        """Name of the method whose call runs, or runs next."""
        call = self._call or (self._calls[0] if self._calls else None)
        return "CallRunner" if call is None else call.entry.full_name

    def _run_calls(self) -> Any:
        task = asyncio.current_task()
        calls, mark = self._calls, _mark_of(task)
        is_shared = len(calls) > 1
        try:
            while calls and _mark_of(task) == mark:
                call = calls.popleft()
                coroutine = self._start(call)
                if coroutine is None:
                    continue
                if is_shared:
                    self._context = copy_context()
                waits_for = self._step(coroutine.send, None)
                call.entry.waits = waits_for is not _OVER
                if waits_for is not _OVER:
                    self._has_waited = True
                    return waits_for
        finally:
            self._loop.end_round(calls)
        raise StopIteration

    def _start(self, call: ServerCall) -> Coroutine[Any, Any, Any] | None:
        """Return the coroutine of the handler. `None` if the call has failed and is answered."""
        self._call = call
        controller = self._controller = call.make_controller()
        try:
            coroutine = self._coroutine = call.call_handler(controller)
        except BaseException as error:
            self._fail(error)
            return None
        return coroutine

    def _step(self, step: Callable[[Any], Any], argument: object) -> Any:
        """Let the handler continue. Return what it waits for, or `_OVER`."""
        context = self._context
        try:
            return step(argument) if context is None else context.run(step, argument)
        except StopIteration as end:
            self._answer(end.value)
        except GeneratorExit:
            self.close()
            raise
        except BaseException as error:
            self._fail(error)
        return _OVER

    def _fail(self, error: BaseException) -> None:
        """Answer with `error`. Also SystemExit: a handler doesn't end the server by raising."""
        call, controller = self._call, self._controller
        if call is not None and controller is not None:
            call.fail(controller, error)
            self._answer(None)
        if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
            raise error

    def _answer(self, response: object) -> None:
        call, controller = self._call, self._controller
        self._call = self._controller = self._coroutine = None
        if call is None or controller is None:
            return
        data = call.pack(controller, response)
        if self._has_waited:
            self._loop.answer(call, data)
        else:
            self._loop.put(call, data)

    def _take_calls(self) -> list[ServerCall]:
        """Take all calls that are not answered."""
        call, self._call = self._call, None
        taken = list(self._calls) if call is None else [call, *self._calls]
        self._calls.clear()
        return taken


class NamedCallRunner(CallRunner):
    """A CallRunner as a task shows it. (A C struct can't have a name of its own.)"""

    __slots__ = ()

    @property
    def __name__(self) -> str:
        return self.name()


def _mark_of(task: asyncio.Task[Any] | None) -> tuple[int, int, int]:
    """A value that changes when a handler keeps `task`, or when the task is cancelled."""
    if task is None:
        return 0, 0, 0
    return getrefcount(task), getweakrefcount(task), task.cancelling()
