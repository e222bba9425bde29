"""Runs the functions of an RtmpService: plain ones in threads of their own, async ones as tasks of
the loop of async handlers. None of them runs in a turn."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from contextvars import Context
from typing import Any

from pybrpc.base.guard import SERVER, deliver_interrupt
from pybrpc.base.limited_log import LimitedLog
from pybrpc.rtmp.server.connect_info import RtmpRefused
from pybrpc.server.connections.server_core import ServerCore

OnDone = Callable[[BaseException | None], None]
"""Called with what the function has raised, in its thread or task. Must not raise."""

answers_log = LimitedLog(SERVER)
"""Tells of functions that should decide, and do not."""

_tasks: set[asyncio.Task[None]] = set()
"""Tasks that nobody else refers to."""


def is_async(function: Callable[[Any], Any]) -> bool:
    return inspect.iscoroutinefunction(function)


def deciding(
    function: Callable[[Any], Any], admits: tuple[object, ...], what: str
) -> Callable[[Any], Any]:
    """A function that raises RtmpRefused unless `function` returns one of `admits`, and logs what
    is no answer at all, such as a forgotten `return`. It is async if `function` is.

    Nothing else admits, so that a mistake lets nobody in.
    """

    def check(result: Any) -> None:
        if any(result is each for each in admits):
            return
        if result is not False:
            text = f"{what} returned {type(result).__name__}, which refuses; return True to admit"
            answers_log.warn("%s", text)
        raise RtmpRefused("Denied", "not allowed")

    if is_async(function):

        async def decide_async(argument: Any) -> None:
            check(await function(argument))

        return decide_async

    def decide(argument: Any) -> Any:
        result = function(argument)
        if not inspect.iscoroutine(result):
            check(result)
        return result

    return decide


def start_function(
    server: ServerCore, function: Callable[[Any], Any], argument: Any, on_done: OnDone
) -> None:
    """Call `function(argument)` soon. RuntimeError if no thread can be started."""
    context = server.new_context()
    if is_async(function):
        loop = server.loop_of_handlers()
        loop.call_soon_threadsafe(_start_task, function, argument, on_done, context)
    else:
        _FunctionThread(function, argument, on_done, context).start()


def _start_task(
    function: Callable[[Any], Any], argument: Any, on_done: OnDone, context: Context
) -> None:
    loop = asyncio.get_running_loop()
    task = loop.create_task(_run_in_task(function, argument, on_done), context=context)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _run_in_task(function: Callable[[Any], Any], argument: Any, on_done: OnDone) -> None:
    try:
        await function(argument)
    except BaseException as error:
        on_done(error)
        if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
            raise
    else:
        on_done(None)


class _FunctionThread(threading.Thread):
    def __init__(
        self, function: Callable[[Any], Any], argument: Any, on_done: OnDone, context: Context
    ) -> None:
        super().__init__(name="pybrpc-rtmp", daemon=True)
        self._work = function, argument, on_done, context

    def run(self) -> None:
        function, argument, on_done, context = self._work
        del self._work
        try:
            result = context.run(function, argument)
            if inspect.iscoroutine(result):
                result.close()
                raise TypeError(f"{function!r} returns a coroutine: make it an async function")
        except BaseException as error:
            on_done(error)
            deliver_interrupt(error)
        else:
            on_done(None)


def log_raised(what: str, error: BaseException, had_ended: bool) -> None:
    """Log what the function of a stream raised: softly if its stream had ended before."""
    if had_ended:
        SERVER.debug("the function of %s has ended: %s", what, error)
    else:
        SERVER.raised("the function of %s raised", what, error=error)
