"""HandlerLoop: the asyncio loop in which a server's async handlers are tasks.

Calls begin in rounds: the loop takes a few, as the Scheduler gives them out, and does its other
work before it takes more. So the calls of one connection delay neither those of the others nor
their responses for long, however many there are.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Iterable
from contextvars import Context
from typing import Any

from pybrpc.base.deadline import NEVER
from pybrpc.base.once_posted import OncePosted
from pybrpc.errors import InternalServerError, RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.rpc.timeout_queue import TimeoutQueue, TimeoutQueues
from pybrpc.server.calls.call_queue import CallQueue
from pybrpc.server.calls.invoker import Invoker
from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.calls.server_call import GRACE_OVER, ServerCall
from pybrpc.server.running.call_runner import NamedCallRunner
from pybrpc.server.running.loop_thread import LoopThread
from pybrpc.server.running.scheduler import UNKNOWN_S, Scheduler
from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher

ROUND_CALLS = 64
"""Calls that begin in one round, at most."""

ROUND_S = 0.001
"""Seconds that the first steps of the calls that begin in one round may take, as expected."""


class HandlerLoop:
    """Runs calls as tasks of an asyncio loop.

    It is the loop that also reads and writes the server's connections; or, without one, a loop in a
    daemon thread of its own, so that an async handler that blocks delays only other async handlers.
    """

    __slots__ = (
        "_invoker",
        "_is_closed",
        "_loop",
        "_responses",
        "_round",
        "_stop_task",
        "_thread",
        "_timeouts",
        "_waiting",
        "scheduler",
    )

    def __init__(self, invoker: Invoker, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """`loop`: the running loop to which the server is bound; `None` starts a thread.

        RuntimeError if no thread can be started.
        """
        self.scheduler = Scheduler()
        self._invoker = invoker
        self._waiting: set[ServerCall] = set()
        """Calls that wait for something, each in its task."""
        self._responses = ResponseBatch()
        self._round = OncePosted()
        self._is_closed = False
        self._stop_task: asyncio.Task[None] | None = None
        self._thread: LoopThread | None = None
        if loop is None:
            self._thread = LoopThread("pybrpc-handler-loop", self._on_restart)
            self._loop = self._thread.loop
            self._thread.start()
        else:
            self._loop = loop
        self._timeouts = TimeoutQueues(AsyncioDispatcher(self._loop))

    # --- any thread ---

    def start_calls(self, queue: CallQueue, calls: list[ServerCall]) -> None:
        """Start calls of one connection in tasks. Never blocks."""
        self.scheduler.put(queue, calls)
        try:
            if self._round.is_posted():
                return
            if self._thread is None and asyncio._get_running_loop() is self._loop:
                self._run_round()
                return
        except BaseException:
            self._post(self._on_round)  # a signal handler may have raised before a round began
            raise
        try:
            self._round.post_threadsafe(self._loop, self._on_round, self._has_calls)
        except RuntimeError:
            self._refuse(self.scheduler.remove(queue, len(queue)))

    def cancel(self, calls: list[ServerCall], reason: str) -> None:
        """Cancel the handlers of calls, and the calls that these have made. Never blocks."""
        self._post(self._cancel_calls, calls, reason)

    def cancel_waiting(self) -> None:
        """Cancel the handlers that wait, since the grace of a stop is over. Never blocks."""
        self._post(self._cancel_waiting)

    def close(self) -> None:
        """Cancel the tasks that still run, and end the thread if there is one. Never blocks."""
        if not self._is_closed:
            self._is_closed = True
            if not self._post(self._cancel_all):
                self._drop_tasks()

    def join(self, deadline: float = NEVER) -> None:
        """After `close`: wait for the thread."""
        if self._thread is not None:
            self._thread.join(deadline)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop; a new one if a handler has closed the last one."""
        return self._loop

    @property
    def task_count(self) -> int:
        """Number of tasks in which a call waits."""
        return len(self._waiting)

    def drop(self, call: ServerCall) -> None:
        """End a call whose task is gone.

        A loop of its own was closed by one of its handlers; the response can be written. With the
        application's loop the connections are gone too.
        """
        if self._thread is None:
            call.end()
        else:
            self._invoker.refuse(call, InternalServerError("The loop of the handler was closed"))

    # --- called in the loop, by CallRunner ---

    def answer(self, call: ServerCall, data: IOBuf) -> None:
        """Write a response.

        In a loop of its own, responses of one round of the loop are written together. In a loop
        that also writes to the connections, the socket joins them.
        """
        if self._thread is None:
            self._responses.put(call, data)
            self._responses.flush()
            return
        if not self._responses:
            self._loop.call_soon(self._flush)
        self._responses.put(call, data)

    def put(self, call: ServerCall, data: IOBuf) -> None:
        """Add a response that is written with others, in `end_round`."""
        self._responses.put(call, data)

    def end_round(self, left: deque[ServerCall]) -> None:
        """A task ends its round: write its responses, queue the calls in `left` again.

        At once: the next task may take long.
        """
        self._responses.flush()
        if left:
            self._put_back(left)

    def keep(self, call: ServerCall, now: float) -> TimeoutQueue | None:
        self._waiting.add(call)
        if call.deadline == NEVER or not call.entry.cancel_handlers:
            return None
        queue = self._timeouts.of(max(0.0, call.deadline - now))
        queue.add(call)
        return queue

    def forget(self, call: ServerCall) -> None:
        self._waiting.discard(call)

    # --- in the loop ---

    def _run_round(self) -> None:
        """Begin some of the calls that wait.

        Calls whose handlers waited last time, or take long, get tasks of their own, the others
        share one.
        """
        self._round.begin()
        scheduler = self.scheduler
        quick: deque[ServerCall] = deque()
        taken: ServerCall | None = None
        left, left_s = ROUND_CALLS, ROUND_S
        try:
            while left > 0 and left_s > 0:
                call = scheduler.take()
                if call is None:
                    break
                entry = call.entry
                left -= 1
                left_s -= entry.mean_s or UNKNOWN_S
                if not entry.waits and entry.mean_s < ROUND_S:
                    quick.append(call)
                    continue
                taken = call
                if quick:
                    self._run_in_task(quick)
                    quick = deque()
                self._run_in_task(deque((call,)))
                taken = None
            if quick:
                self._run_in_task(quick)
        except BaseException:
            # The calls that were taken; those that are refused already don't notice.
            self._refuse(quick)
            if taken is not None:
                self._refuse((taken,))
            raise
        finally:
            if not scheduler.is_empty():
                self._request_round()

    def _run_in_task(self, calls: deque[ServerCall]) -> None:
        invoker = self._invoker
        try:
            # Before the runner, which ends its calls when it is deleted.
            context = invoker.new_context()
            _make_task(self._loop, NamedCallRunner(self, invoker, calls), context)
        except BaseException:
            self._refuse(calls)
            calls.clear()
            raise

    def _put_back(self, calls: deque[ServerCall]) -> None:
        """Queue calls that have not begun, as the next ones of their connections."""
        while calls:
            call = calls.pop()
            queue = call.connection.async_calls
            if queue is None:
                self._run_in_task(deque((call,)))
            else:
                self.scheduler.put_back(queue, call)
        self._request_round()

    def _request_round(self) -> None:
        if not self._round.is_posted():
            self._round.post(self._loop, self._on_round, self._has_calls)

    def _on_round(self) -> None:
        """`_run_round` as a callback: it is not in the `.pxd`."""
        self._run_round()

    def _has_calls(self) -> bool:
        return not self.scheduler.is_empty()

    def _flush(self) -> None:
        self._responses.flush()

    def _refuse(self, calls: Iterable[ServerCall]) -> None:
        error: RpcError = InternalServerError("The loop of async handlers can't run the request")
        for call in calls:
            self._invoker.refuse(call, error)

    def _post(self, function: Any, *arguments: Any) -> bool:
        """Call `function` in the loop. False if the loop is closed. Any thread."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return False
        return True

    def _drop_tasks(self) -> None:
        """End the calls that wait in a loop that was closed."""
        for call in list(self._waiting):
            self._waiting.discard(call)
            if call.task is not None:
                coroutine: Any = call.task.get_coro()
                coroutine.close()

    def _cancel_calls(self, calls: list[ServerCall], reason: str) -> None:
        """Cancel as many as one round may begin, and the others in the next rounds.

        Takes them out of `calls`. First the handler: so it gets a CancelledError, and not the error
        of the nested call that it awaits.
        """
        for _ in range(min(ROUND_CALLS, len(calls))):
            call = calls.pop()
            call.cancel_handler(reason)
            if call.served is not None:
                call.served.cancel(reason, self._loop.call_soon)
        if calls:
            self._loop.call_soon(self._cancel_calls, calls, reason)

    def _cancel_waiting(self) -> None:
        """Cancel the handlers that wait. Those that the end of the grace has cancelled before may
        be cleaning up; they get no second CancelledError."""
        for call in list(self._waiting):
            call.cancel_handler(GRACE_OVER)

    def _cancel_all(self) -> None:
        if self._thread is None:
            self._cancel_waiting()
        else:
            self._stop_task = self._loop.create_task(self._stop(self._thread))

    async def _stop(self, thread: LoopThread) -> None:
        """Cancel and await the tasks of calls, those that begin only now among them."""
        try:
            while self._waiting:
                self._drop_done()
                self._cancel_waiting()
                tasks = {call.task for call in self._waiting if call.task is not None}
                if tasks:
                    await asyncio.wait(tasks)
        finally:
            thread.end()

    def _drop_done(self) -> None:
        """End the calls whose tasks are over, and can't answer them any more."""
        for call in list(self._waiting):
            if call.task is None or call.task.done():
                self._waiting.discard(call)
                self.drop(call)

    def _on_restart(self) -> None:
        """The thread runs its loop again, or a new one. In the thread, before the loop runs."""
        thread = self._thread
        assert thread is not None
        if self._loop is not thread.loop:
            self._loop = thread.loop
            self._round = OncePosted()
            self._timeouts = TimeoutQueues(AsyncioDispatcher(self._loop))
            self._drop_tasks()
        self._responses.flush()
        self._round.post(self._loop, self._on_round, self._has_calls)
        if self._is_closed:
            self._loop.call_soon(self._cancel_all)

    def __repr__(self) -> str:
        where = "in a thread of its own" if self._thread is not None else "of the application"
        state = ", closed" if self._is_closed else ""
        return f"<HandlerLoop {where}, {self.task_count} tasks{state}>"


def _make_task(
    loop: asyncio.AbstractEventLoop, coroutine: Any, context: Context
) -> asyncio.Task[Any]:
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=loop, context=context, eager_start=True)
    return asyncio.Task(coroutine, loop=loop, context=context)
