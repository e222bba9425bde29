"""AsyncioDispatcher: an asyncio loop as a dispatcher.

UvloopReader makes a loop of uvloop report errors as other loops do. libuv stops watching a
descriptor when epoll reports an error on it (`uv__poll_io`), after one call. uvloop makes that one
call of the reader and does not watch the descriptor again. When a reset arrives together with data,
that call reads the data, and the reset would never be reported. So after each call the reader asks
the kernel for an error or a hang-up, and if there is one, is called again.
"""

from __future__ import annotations

import asyncio
import select
import time

from pybrpc.base.deadline import NEVER
from pybrpc.base.deprecation import renamed_method
from pybrpc.transport.dispatch.event_dispatcher import (
    Continuation,
    DispatcherClosedError,
    InlineTask,
)
from pybrpc.transport.dispatch.poller_role import Waiter


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
        delay_s = max(0.0, self._deadline - time.monotonic())
        self._handle = self._loop.call_later(delay_s, self._run)

    def cancel(self) -> None:
        self._function = None
        if self._handle is not None and asyncio._get_running_loop() is self._loop:
            self._handle.cancel()

    def _run(self) -> None:
        function = self._function
        if function is not None:
            function()


class AsyncioDispatcher:
    """An EventDispatcher that is an asyncio loop. Its connections end with the loop."""

    flushes_at_turn_end = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._is_uvloop = _is_uvloop(loop)
        self._uvloop_readers: dict[int, UvloopReader] = {}

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

    def post(self, function: Continuation) -> None:
        loop = self.loop
        if asyncio._get_running_loop() is loop and asyncio.current_task(loop) is not None:
            loop.call_soon(function)
            return
        # Outside a task this may be a signal handler, inside the loop's wait for events: only the
        # thread-safe form ends that wait.
        try:
            loop.call_soon_threadsafe(function)
        except RuntimeError as error:
            raise DispatcherClosedError(f"{self!r}: {error}") from None

    def post_cleanup(self, function: Continuation) -> None:
        """Like `post`: a closed loop runs nothing."""
        self.post(function)

    def call_at(self, deadline: float, function: Continuation) -> _LoopTimer:
        timer = _LoopTimer(self.loop, deadline, function)
        if deadline == NEVER:
            return timer
        if self.is_current():
            timer.start()
        else:
            self.post(timer.start)
        return timer

    def add_reader(self, fd: int, function: Continuation) -> None:
        if self._is_uvloop:
            self._end_uvloop_reader(fd)
            function = self._uvloop_readers[fd] = UvloopReader(self.loop, fd, function)
        self.loop.add_reader(fd, function)

    def remove_reader(self, fd: int) -> None:
        self._end_uvloop_reader(fd)
        if not self.loop.is_closed():
            self.loop.remove_reader(fd)

    def add_writer(self, fd: int, function: Continuation) -> None:
        self.loop.add_writer(fd, function)

    def remove_writer(self, fd: int) -> None:
        if not self.loop.is_closed():
            self.loop.remove_writer(fd)

    def _end_uvloop_reader(self, fd: int) -> None:
        reader = self._uvloop_readers.pop(fd, None)
        if reader is not None:
            reader.is_removed = True

    attend = renamed_method("attend", "require_polling")
    unattend = renamed_method("unattend", "release_polling")
    lend = renamed_method("lend", "run_after_turn")
    post_last = renamed_method("post_last", "post_cleanup")

    def __repr__(self) -> str:
        return f"<AsyncioDispatcher of {self.loop!r}>"
