"""LifecycleHooks: functions of the application that a server calls when it starts and stops.

They open and close what handlers share: pools of connections, models, background tasks. Those for
the beginning of a stop end what would last for long, such as streams. A function may be async: then
it is awaited in the loop in which async handlers run.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, TypeVar

from pybrpc.base.checked_options import why_not_called
from pybrpc.base.guard import deliver_interrupt
from pybrpc.errors import ServerStateError

Hook = Callable[[], Any]
"""Called without arguments. If what it returns can be awaited, it is awaited."""

H = TypeVar("H", bound=Hook)

LOOK_S = 0.5
"""Seconds between looks whether the loop of an async function was closed."""


class LifecycleHooks:
    """The functions of one server, in the order in which they were added."""

    __slots__ = ("on_shutdown", "on_startup", "on_stopping")

    def __init__(self) -> None:
        self.on_startup: list[Hook] = []
        self.on_stopping: list[Hook] = []
        self.on_shutdown: list[Hook] = []

    def start_up(self, context: Context, loop_of: Callable[[], asyncio.AbstractEventLoop]) -> None:
        """Call the functions for the start in this thread, and await async ones in the loop that
        `loop_of` returns, which runs in another thread. Raises what a function raises."""
        for function in self.on_startup:
            result = context.run(function)
            if inspect.isawaitable(result):
                await_in(loop_of(), result, context)

    async def start_up_async(self, context: Context) -> None:
        """Call and await the functions for the start in the running loop."""
        for function in self.on_startup:
            error = await error_of(function, context)
            if error is not None:
                try:
                    raise error
                finally:
                    del error  # It refers to this frame.

    def start_up_in_loop(self, context: Context) -> None:
        """Call the functions for the start in the running loop, without awaiting: ServerStateError
        if one is async."""
        for function in self.on_startup:
            result = context.run(function)
            if inspect.isawaitable(result):
                drop(result)
                raise ServerStateError(
                    f"{name_of(function)}() for the start is async: await server.start_async(...)"
                )


class Hooking:
    """A base class of Server: the part that knows these functions."""

    _late_stop: Callable[[], None] | None = None
    """The stop that was asked for while it started."""

    def __init__(self, hooks: LifecycleHooks) -> None:
        self._hooks = hooks
        self._is_starting = False

    @property
    def is_running(self) -> bool:
        """Whether the server runs."""
        raise NotImplementedError

    def on_startup(self, function: H) -> H:
        """Call `function`, without arguments, at each start before the server listens.

        Returns it, so that it can be a decorator. Handlers see what it sets in context variables.
        A plain function runs in the thread that calls `start`, an async one in the loop of async
        handlers, one after another in the order in which they were added. What one raises, `start`
        raises, and nothing is left. ServerStateError: the server runs, or starts.
        """
        self._check_hook("on_startup", function)
        self._hooks.on_startup.append(function)
        return function

    def on_stopping(self, function: H) -> H:
        """Call `function`, without arguments, once in each stop, before the stop waits for requests
        and streams: it can end streams that would last for the whole grace.

        Returns it, so that it can be a decorator. New requests are refused from then on; a drain is
        over. A plain function runs in a thread of its own, an async one in the loop of async
        handlers; of a server that is bound to a loop, both in that. They are called one after
        another in the order in which they were added. What one raises is logged. All together have
        the grace of the stop, and at least half a second; then async ones that run in the loop of
        the server are cancelled, and the stop goes on. ServerStateError: the server runs or starts.
        """
        self._check_hook("on_stopping", function)
        self._hooks.on_stopping.append(function)
        return function

    def on_shutdown(self, function: H) -> H:
        """Call `function`, without arguments, at the end of each stop, when no handler is left that
        the stop waits for. The last added is called first. Async
        handlers that the end of the grace has cancelled have a second to clean up before.

        Returns it, so that it can be a decorator. A plain function runs in a thread of its own, an
        async one in the loop of async handlers; of a server that is bound to a loop, both in that.
        What it raises is logged. All together have the grace of the stop and 3 seconds more. Not
        called if a function of `on_startup` has raised. ServerStateError: the server runs, or
        starts.
        """
        self._check_hook("on_shutdown", function)
        self._hooks.on_shutdown.append(function)
        return function

    def _check_hook(self, name: str, function: Hook) -> None:
        if not callable(function):
            raise TypeError(f"{name} takes a function without arguments, not {function!r}")
        if mismatch := why_not_called(function):
            raise TypeError(f"{name} calls its function without arguments: {mismatch}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{name} calls its function, which must not be a generator (`yield`)")
        if self.is_running or self._is_starting:
            raise ServerStateError("add functions before the server is started")


async def error_of(function: Hook, context: Context) -> BaseException | None:
    """Call `function`, and await its result if that can be awaited, in a task. Return what it
    raises; but a CancelledError is raised, as the caller may be the one that was cancelled."""
    try:
        result = context.run(function)
        if not inspect.isawaitable(result):
            return None
    except BaseException as error:
        return error
    loop = asyncio.get_running_loop()
    return await asyncio.Task(_error_of(result), loop=loop, context=context)


def await_in(loop: asyncio.AbstractEventLoop, result: Awaitable[Any], context: Context) -> None:
    """Await `result` in a task of `loop`, which runs in another thread.

    Raises what it raises; RuntimeError if the loop is closed before the end. Blocks.
    """
    ended: concurrent.futures.Future[None] = concurrent.futures.Future()
    tasks: list[asyncio.Task[BaseException | None]] = []

    def begin() -> None:
        task = asyncio.Task(_error_of(result), loop=loop, context=context)
        task.add_done_callback(lambda task: _pass_on(task, ended))
        tasks.append(task)

    try:
        loop.call_soon_threadsafe(begin)
    except RuntimeError:
        drop(result)
        raise
    try:
        while not concurrent.futures.wait((ended,), LOOK_S).done:
            if loop.is_closed():
                raise RuntimeError("the loop was closed before the function had ended")
    except BaseException:
        if not loop.is_closed():
            loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])
        raise
    ended.result()


def drop(result: Awaitable[Any]) -> None:
    """It won't be awaited."""
    if inspect.iscoroutine(result):
        result.close()


def name_of(function: Hook) -> str:
    """The name for logs and errors. Raises nothing, whatever the attributes of `function` do."""
    kind = type(function)
    try:
        return str(getattr(function, "__qualname__", kind.__qualname__))
    except BaseException as error:
        deliver_interrupt(error)
        return kind.__name__


async def _error_of(result: Awaitable[Any]) -> BaseException | None:
    """Await `result`, and return what it raises: a SystemExit that a task raises would end the
    loop, and a GeneratorExit would seem to close the coroutine that awaits the task."""
    try:
        await result
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return error
    return None


def _pass_on(
    task: asyncio.Task[BaseException | None], ended: concurrent.futures.Future[None]
) -> None:
    if task.cancelled():
        ended.set_exception(asyncio.CancelledError())
        return
    error = task.exception()
    if error is None:
        error = task.result()
    if error is None:
        ended.set_result(None)
    else:
        ended.set_exception(error)
