"""CallRunner: the coroutine of a HandlerLoop's task. It runs calls in a row until one waits.

A task for each call would cost more than most handlers: to make it, to queue it in the loop, to
queue its callbacks when it is done. A handler that finishes without waiting needs no task of its
own. So calls that are ready together begin in one task. The first call that waits keeps the task,
and the other calls go to other tasks, as they do when the task has run for long. Responses that are
ready at once are written together.

Handlers can't observe that they share a task: each call has its own context, so context variables
don't pass from one call to the next, and a task that a handler has kept, named, cancelled, or that
it has given an attribute or a callback, is not used for another call.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from gc import get_referents
from sys import getrefcount
from typing import Any, Final
from weakref import getweakrefcount

from pybrpc.base.guard import SERVER, deliver_interrupt, run_guarded
from pybrpc.errors import InternalServerError
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.timeout_queue import TimeoutQueue
from pybrpc.server.calls.invoker import Invoker
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.running.interfaces import RunnerHost

MAX_SHARED_S = 0.001
"""Seconds after which a task begins no more calls: it keeps the loop from everything else."""

_OVER: Final = object()
"""Result of a step after which the call is answered, instead of something to wait for."""


class CallRunner:
    """A coroutine, as a task sees it. Used only in the thread of its loop."""

    __slots__ = (
        "_call",
        "_calls",
        "_context",
        "_controller",
        "_coroutine",
        "_has_waited",
        "_host",
        "_invoker",
        "_timeout_queue",
    )

    def __init__(self, host: RunnerHost, invoker: Invoker, calls: deque[ServerCall]) -> None:
        """The first one of `calls` runs in the context of the task."""
        self._host = host
        self._invoker = invoker
        self._calls = calls
        self._call: ServerCall | None = None
        self._controller: Controller | None = None
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        self._context: Context | None = None
        """Context of the call; `None`: that of the task."""
        self._has_waited = False
        self._timeout_queue: TimeoutQueue | None = None
        """The queue of deadlines in which the call is, while it waits."""

    def send(self, value: object) -> Any:
        coroutine = self._coroutine
        if coroutine is None:
            return self._run_calls()
        waits_for = self._step(coroutine.send, value)
        if waits_for is _OVER:
            raise StopIteration
        return waits_for

    def throw(self, error: BaseException) -> Any:
        if isinstance(error, GeneratorExit):
            self.close()
            raise error
        coroutine = self._coroutine
        if coroutine is None:
            for call in self._take_calls():
                self._answer_unrun(call, error)
            raise error
        waits_for = self._step(coroutine.throw, error)
        if waits_for is _OVER:
            raise StopIteration
        return waits_for

    def close(self) -> None:
        """End the calls whose task is gone."""
        coroutine, self._coroutine = self._coroutine, None
        if coroutine is not None:
            close = coroutine.close
            if self._context is None:
                run_guarded(close, what="a handler whose task is gone", log=SERVER)
            else:
                run_guarded(
                    self._context.run, close, what="a handler whose task is gone", log=SERVER
                )
        for call in self._take_calls():
            self._host.drop(call)

    def __await__(self) -> CallRunner:
        return self

    def __del__(self) -> None:
        if self._call is not None or self._calls:
            self.close()

    def name(self) -> str:
        """Name of the method whose call runs, or runs next."""
        call = self._call or (self._calls[0] if self._calls else None)
        return "CallRunner" if call is None else call.full_name()

    def _run_calls(self) -> Any:
        """Run calls until one waits. Return what it waits for."""
        task = asyncio.current_task()
        calls = self._calls
        mark = _mark_of(task) if len(calls) > 1 else None
        now = time.monotonic()
        ends_at = now + MAX_SHARED_S
        try:
            while calls:
                call = calls.popleft()
                began_at = now
                waits_for = self._begin(call, began_at)
                now = time.monotonic()
                call.entry.note_duration(now - began_at)
                call.entry.waits = waits_for is not _OVER
                if waits_for is not _OVER:
                    self._has_waited = True
                    self._keep(task, now)
                    return waits_for
                if not calls or now > ends_at or _mark_of(task) != mark:
                    break
                self._context = self._invoker.new_context()
        finally:
            self._host.end_round(calls)
        raise StopIteration

    def _begin(self, call: ServerCall, now: float) -> Any:
        """Begin `call`. Return what it waits for, or `_OVER`."""
        try:
            if self._invoker.ends_unrun(call):
                return _OVER
            late = self._invoker.answer_if_late(call, now)
            if late is not None:
                self._host.put(call, late)
                return _OVER
            controller = call.make_controller()
        except BaseException as error:
            SERVER.caught("%r can't be run", call, error=error)
            self._invoker.refuse(call, InternalServerError("The request can't be run"))
            return _OVER
        self._call = call
        self._controller = controller
        return self._step(self._first_step, None)

    def _first_step(self, _: object) -> Any:
        """Call the handler, and let its coroutine begin. In the context of the call."""
        call, controller = self._call, self._controller
        assert call is not None
        assert controller is not None
        coroutine = self._coroutine = self._invoker.call_handler(call, controller)
        return coroutine.send(None)

    def _step(self, step: Callable[[Any], Any], argument: object) -> Any:
        """Let the handler continue. Return what it waits for, or `_OVER`."""
        context = self._context
        try:
            return step(argument) if context is None else context.run(step, argument)
        except StopIteration as end:
            self._answer(end.value)
        except BaseException as error:
            self._fail(error)
        return _OVER

    def _fail(self, error: BaseException) -> None:
        """Answer with `error`. Also SystemExit: a handler doesn't end the server by raising."""
        call, controller = self._call, self._controller
        if call is not None and controller is not None:
            call.fail(controller, error)
            self._answer(None)
        if isinstance(error, asyncio.CancelledError):
            raise error
        deliver_interrupt(error)

    def _answer(self, response: object) -> None:
        call, controller = self._call, self._controller
        self._call = self._controller = self._coroutine = None
        if call is None or controller is None:
            return
        call.end_serving()
        if call.form is not None and self._is_taken_over(call, controller, response):
            return
        try:
            data = call.pack(controller, response)
            if self._has_waited:
                self._host.answer(call, data)
            else:
                self._host.put(call, data)
        except BaseException as error:
            SERVER.caught("%r can't be answered", call, error=error)
            call.end()
        finally:
            if self._has_waited:
                self._let_go(call)

    def _is_taken_over(self, call: ServerCall, controller: Controller, response: object) -> bool:
        """Whether the response is a generator, which runs in another task, or thread."""
        form, context = call.form, self._context
        assert form is not None
        if self._has_waited:
            self._let_go(call)
        return form.takes_over(
            call, controller, response, copy_context() if context is None else context
        )

    def _answer_unrun(self, call: ServerCall, error: BaseException) -> None:
        """Answer with `error`, which ended the task."""
        try:
            controller = call.make_controller()
            call.fail(controller, error)
            self._host.answer(call, call.pack(controller, None))
        except BaseException as raised:
            SERVER.caught("%r can't be answered", call, error=raised)
            call.end()

    def _keep(self, task: asyncio.Task[Any] | None, now: float) -> None:
        """The call waits in `task`, in which it can be cancelled."""
        call = self._call
        if call is not None and task is not None:
            call.task = task
            self._timeout_queue = self._host.keep(call, now)

    def _let_go(self, call: ServerCall) -> None:
        if call.task is not None:
            if self._timeout_queue is not None:
                self._timeout_queue.discard(call)
            self._host.forget(call)
            call.task = None

    def _take_calls(self) -> list[ServerCall]:
        """Take all calls that are not answered."""
        call, self._call = self._call, None
        taken = list(self._calls)
        self._calls.clear()
        if call is not None:
            call.end_serving()
            self._let_go(call)
            taken.insert(0, call)
        return taken


class NamedCallRunner(CallRunner):
    """A CallRunner as a task shows it. (A C struct can't have a name of its own.)"""

    __slots__ = ()

    @property
    def __name__(self) -> str:
        return self.name()


def _mark_of(task: asyncio.Task[Any] | None) -> object:
    """A value that changes when a handler changes `task`, or keeps it.

    Attributes, callbacks and a message for the cancellation are objects to which the task refers.
    """
    if task is None:
        return None
    return (
        getrefcount(task),
        getweakrefcount(task),
        len(get_referents(task)),
        task.get_name(),
        task.cancelling(),
        getattr(task, "_must_cancel", False),
    )
