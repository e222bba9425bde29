"""HandlerLoop: the asyncio loop in which a server's async handlers are tasks."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from pybrpc.base.deadline import NEVER, remaining_s
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.running.call_runner import NamedCallRunner

if TYPE_CHECKING:
    from pybrpc.server.calls.server_call import ServerCall


class HandlerLoop:
    """Runs calls as tasks of an asyncio loop.

    It is the loop that also reads and writes the server's connections; or, without one, a loop in a
    daemon thread of its own, so that an async handler that blocks delays only other async handlers.
    """

    __slots__ = ("_is_closed", "_loop", "_responses", "_tasks", "_thread")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """`loop`: the running loop to which the server is bound; `None` starts a thread."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._responses = ResponseBatch()
        self._is_closed = False
        self._thread: threading.Thread | None = None
        if loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._run, name="pybrpc-handler-loop", daemon=True
            )
            self._thread.start()
        else:
            self._loop = loop

    def start_calls(self, calls: list[ServerCall]) -> None:
        """Start `calls` in tasks. In a turn of the server's dispatcher; never blocks."""
        if self._thread is None:
            self._share_out(calls)
        else:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._start, calls)

    def answer(self, call: ServerCall, data: IOBuf) -> None:
        """Write a response. Called in the loop.

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
        """Add a response that is written with others, in `end_round`. Called in the loop."""
        self._responses.put(call, data)

    def end_round(self, left: deque[ServerCall]) -> None:
        """A task ends its round: write its responses, start the calls in `left` in other tasks."""
        if self._responses:
            if self._thread is None:
                self._responses.flush()
            else:
                self._loop.call_soon(self._flush)
        while left:
            self._run_in_task(deque((left.popleft(),)))

    def close(self) -> None:
        """Cancel the tasks that still run, and end the thread if there is one. Any thread."""
        if not self._is_closed:
            self._is_closed = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._cancel_all)

    def join(self, deadline: float = NEVER) -> None:
        """After `close`: wait for the thread."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(remaining_s(deadline))

    @property
    def task_count(self) -> int:
        return len(self._tasks)

    def _start(self, calls: list[ServerCall]) -> None:
        self._share_out(calls)

    def _flush(self) -> None:
        self._responses.flush()

    def _share_out(self, calls: list[ServerCall]) -> None:
        """Calls whose handlers waited last time get tasks of their own, the others share one."""
        quick: deque[ServerCall] = deque()
        for call in calls:
            if not call.entry.waits:
                quick.append(call)
                continue
            if quick:
                self._run_in_task(quick)
                quick = deque()
            self._run_in_task(deque((call,)))
        if quick:
            self._run_in_task(quick)

    def _run_in_task(self, calls: deque[ServerCall]) -> None:
        task = _make_task(self._loop, NamedCallRunner(self, calls))
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _cancel_all(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._thread is not None:
            self._loop.create_task(self._stop())

    async def _stop(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._loop.stop()

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            self._responses.flush()
            asyncio.set_event_loop(None)
            loop.close()

    def __repr__(self) -> str:
        where = "in a thread of its own" if self._thread is not None else "of the application"
        state = ", closed" if self._is_closed else ""
        return f"<HandlerLoop {where}, {self.task_count} tasks{state}>"


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any) -> asyncio.Task[None]:
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=loop, eager_start=True)
    return loop.create_task(coroutine)
