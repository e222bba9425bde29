"""The forms of a combined call: where its timers and the functions of the user run.

blocking      mergers, and retries that may run functions of the user, in the calling thread
future        the same in a thread for callbacks, never in the one that polls
asyncio       everything in the loop
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import time
from asyncio import _get_running_loop
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any, Protocol

from pybrpc.rpc.controller import Controller
from pybrpc.streams.callback_threads import callback_threads
from pybrpc.transport.dispatch.completion import release_polling, require_polling
from pybrpc.transport.runtime import default_runtime

Function = Callable[[], None]


class Timer(Protocol):
    """A timer that a form has set."""

    def cancel(self) -> None: ...


class Form(Protocol):
    """How a combined call is made."""

    @property
    def is_lost(self) -> bool:
        """Whether nobody will ever get the outcome."""

    def begin(self) -> None:
        """The call begins. If it raises, the call does not begin."""

    def end(self) -> None:
        """The call has ended."""

    def start(self, method: Any, request: Any, timeout: Any, controller: Controller) -> Any:
        """Start a sub call by the method of a stub. Returns its future."""

    def call_at(self, when: float, function: Function) -> Timer:
        """Call `function` at that monotonic time."""

    def run_user_code(self, function: Function) -> None:
        """Run `function`, which may run code of the user, where it may take long. Any thread."""

    def run_in_place(self, function: Function) -> None:
        """Run `function`, which does not block, in a thread that may end the call: now, if this is
        one."""


class FutureForm:
    """The form of a future, and of a call with a callback. `owner`: the channel, whose share of
    threads is used."""

    is_lost = False

    def __init__(self, owner: object) -> None:
        self.dispatcher = default_runtime().dispatcher
        self._owner = owner
        self._context = copy_context()

    def begin(self) -> None:
        try:
            require_polling(self.dispatcher)
        except BaseException:
            release_polling(self.dispatcher)
            raise

    def end(self) -> None:
        release_polling(self.dispatcher)

    def start(self, method: Any, request: Any, timeout: Any, controller: Controller) -> Any:
        return method.future(request, timeout=timeout, controller=controller)

    def call_at(self, when: float, function: Function) -> Timer:
        return self.dispatcher.call_at(when, function)

    def run_user_code(self, function: Function) -> None:
        run: Function = partial(self._context.copy().run, function)
        try:
            callback_threads().put(run, self._owner)
        except RuntimeError:  # no thread can be started
            run()

    def run_in_place(self, function: Function) -> None:
        function()


class BlockingForm(FutureForm):
    """The form of a call for which the calling thread waits."""

    def __init__(self, owner: object) -> None:
        super().__init__(owner)
        self._functions: queue.SimpleQueue[Function | None] = queue.SimpleQueue()

    def run_user_code(self, function: Function) -> None:
        self._functions.put(function)

    def wait(self, future: Any) -> Any:
        """Run what is to be run here until `future` is done; its result, or its error raised. What
        a signal handler raises meanwhile cancels the call."""
        functions = self._functions
        future.add_done_callback(lambda done: functions.put(None))
        try:
            while (function := functions.get()) is not None:
                function()
            return future.result(0)
        except BaseException:
            future.cancel()
            raise
        finally:
            del future  # an error that is raised here refers to this frame


class LoopForm:
    """Awaited, in the running loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    @property
    def is_lost(self) -> bool:
        return self.loop.is_closed()

    def begin(self) -> None: ...

    def end(self) -> None: ...

    def start(self, method: Any, request: Any, timeout: Any, controller: Controller) -> Any:
        return method(request, timeout=timeout, controller=controller)

    def call_at(self, when: float, function: Function) -> Timer:
        return self.loop.call_later(max(0.0, when - time.monotonic()), function)

    def run_user_code(self, function: Function) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(function)

    def run_in_place(self, function: Function) -> None:
        if _get_running_loop() is self.loop:
            function()
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(function)
