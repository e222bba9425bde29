"""AsyncioDispatcher: an asyncio loop as a dispatcher.

UvloopReader makes a loop of uvloop report errors as other loops do. libuv stops watching a
descriptor when epoll reports an error on it (`uv__poll_io`), after one call. uvloop makes that one
call of the reader and does not watch the descriptor again. When a reset arrives together with data,
that call reads the data, and the reset would never be reported. So after each call the reader asks
the kernel for an error or a hang-up, and if there is one, is called again.

The functions of readable descriptors, and what the sockets of the loop post, are bounded by the
TurnBudget of the loop; handshakes and completions have bounded steps of their own.

A loop would run each function in a copy of the context in which it was registered, and keep that as
long as the function: that of a handler, say, whose call has made a connection, as long as there is
the connection. So functions are registered with an empty context. A turn belongs to nobody.
"""

from __future__ import annotations

import asyncio
import select
import time
from contextvars import Context

from pybrpc.base.deadline import NEVER
from pybrpc.base.once_posted import OncePosted
from pybrpc.transport.dispatch.event_dispatcher import (
    Continuation,
    DispatcherClosedError,
    InlineTask,
)
from pybrpc.transport.dispatch.poller_role import Waiter
from pybrpc.transport.dispatch.step_queue import StepQueue, Work
from pybrpc.transport.dispatch.turn_budget import BudgetedReader, TurnBudget

LONGEST_TIMER_S = 86400.0
"""Longest time for which a timer of a loop is set. Shorter under a fake clock: see
`testing.fake_clock`."""

EARLY_S = 0.001
"""By how much a timer may be early: loops round."""


class UvloopReader:
    """A function for `loop.add_reader` of uvloop. Used in the loop's thread only."""

    __slots__ = ("_function", "_loop", "_poll", "is_removed")

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, function: Continuation) -> None:
        self.is_removed = False
        self._loop = loop
        self._function = function
        self._poll = select.poll()
        self._poll.register(fd, 0)

    def __call__(self) -> None:
        if self.is_removed:
            return
        try:
            self._function()
        finally:
            if not self.is_removed and self._poll.poll(0):
                self._loop.call_soon(self)


def _is_uvloop(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the class of `loop` comes from uvloop."""
    return any(kind.__module__.partition(".")[0] == "uvloop" for kind in type(loop).__mro__)


class _LoopTimer:
    """A timer that may be set and cancelled from any thread."""

    __slots__ = ("_deadline", "_function", "_handle", "_loop")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, deadline: float, function: Continuation
    ) -> None:
        self._loop = loop
        self._deadline = deadline
        self._function: Continuation | None = function
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        delay_s = max(0.0, min(self._deadline - time.monotonic(), LONGEST_TIMER_S))
        self._handle = self._loop.call_later(delay_s, self._run, context=Context())

    def cancel(self) -> None:
        self._function = None
        if self._handle is not None and asyncio._get_running_loop() is self._loop:
            self._handle.cancel()

    def _run(self) -> None:
        if self._function is not None and self._deadline - time.monotonic() > EARLY_S:
            self.start()
            return
        function = self._function
        # The handle refers to this timer, and to the context of the code that has set it.
        self._function = self._handle = None
        if function is not None:
            function()


class LoopSteps:
    """Runs the steps of a StepQueue in a loop, one in each round of it."""

    __slots__ = ("_dispatcher", "_posted", "queue")

    def __init__(self, dispatcher: AsyncioDispatcher) -> None:
        self._dispatcher = dispatcher
        self._posted = OncePosted()
        self.queue = StepQueue()

    def add(self, work: Work) -> None:
        """Any thread. DispatcherClosedError, and nothing is added, if the loop is closed."""
        self.queue.add(work)
        loop = self._dispatcher.loop
        try:
            if self._posted.is_posted() and not loop.is_closed():
                return
            if self._dispatcher.is_in_task():
                self._posted.post(loop, self._run_step, self._has_work)
            else:
                self._posted.post_threadsafe(loop, self._run_step, self._has_work)
        except BaseException as error:
            if loop.is_closed():
                if self.queue.withdraw(work):
                    raise DispatcherClosedError(f"{self._dispatcher!r}: {error}") from None
                return
            # A signal handler raised: nobody may come who posts.
            self._posted.post_threadsafe(loop, self._run_step, self._has_work)
            raise

    def _run_step(self) -> None:
        # First `begin`, then the queue; a thread that adds does it the other way round.
        self._posted.begin()
        try:
            self.queue.run_step()
        finally:
            if not self.queue.is_empty() and not self._posted.is_posted():
                self._posted.post(self._dispatcher.loop, self._run_step, self._has_work)

    def _has_work(self) -> bool:
        return not self.queue.is_empty()


class AsyncioDispatcher:
    """An EventDispatcher that is an asyncio loop. Its connections end with the loop."""

    flushes_at_turn_end = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.budget = TurnBudget(loop)
        self._is_uvloop = _is_uvloop(loop)
        self._readers: dict[int, BudgetedReader] = {}
        self._uvloop_readers: dict[int, UvloopReader] = {}
        self._completions = LoopSteps(self)
        self._costly = LoopSteps(self)

    def require_polling(self) -> None:
        """Does nothing: a loop has turns anyway."""

    def release_polling(self) -> None:
        """Does nothing."""

    def wait(self, waiter: Waiter, deadline: float) -> bool:
        return waiter.sleep(deadline)

    def is_current(self) -> bool:
        return asyncio._get_running_loop() is self.loop

    def run_after_turn(self, task: InlineTask) -> bool:
        return False

    def is_in_task(self) -> bool:
        """Whether a task of the loop runs, so that the loop does not wait for events.

        Outside a task this may be a signal handler, inside that wait: only the thread-safe form of
        `call_soon` ends it.
        """
        loop = self.loop
        return asyncio._get_running_loop() is loop and asyncio.current_task(loop) is not None

    def post(self, function: Continuation) -> None:
        loop = self.loop
        if self.is_in_task():
            loop.call_soon(function, context=Context())
            return
        try:
            loop.call_soon_threadsafe(function, context=Context())
        except RuntimeError as error:
            raise DispatcherClosedError(f"{self!r}: {error}") from None

    def post_cleanup(self, function: Continuation) -> None:
        """Like `post`: a closed loop runs nothing."""
        self.post(function)

    def complete(self, work: Work) -> None:
        self._completions.add(work)

    def post_costly(self, work: Work) -> None:
        self._costly.add(work)

    def call_at(self, deadline: float, function: Continuation) -> _LoopTimer:
        timer = _LoopTimer(self.loop, deadline, function)
        if deadline == NEVER:
            return timer
        if self.is_in_task():
            timer.start()
        else:
            self.post(timer.start)
        return timer

    def add_reader(self, fd: int, function: Continuation) -> None:
        self._end_reader(fd)
        reader = self._readers[fd] = BudgetedReader(function, self.budget)
        called: Continuation = reader
        if self._is_uvloop:
            called = self._uvloop_readers[fd] = UvloopReader(self.loop, fd, reader)
        Context().run(self.loop.add_reader, fd, called)

    def remove_reader(self, fd: int) -> None:
        self._end_reader(fd)
        if not self.loop.is_closed():
            self.loop.remove_reader(fd)

    def add_writer(self, fd: int, function: Continuation) -> None:
        Context().run(self.loop.add_writer, fd, function)

    def remove_writer(self, fd: int) -> None:
        if not self.loop.is_closed():
            self.loop.remove_writer(fd)

    def _end_reader(self, fd: int) -> None:
        reader = self._readers.pop(fd, None)
        if reader is not None:
            reader.is_removed = True
        uvloop_reader = self._uvloop_readers.pop(fd, None)
        if uvloop_reader is not None:
            uvloop_reader.is_removed = True

    def __repr__(self) -> str:
        return f"<AsyncioDispatcher of {self.loop!r}>"
