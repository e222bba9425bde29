"""LoopCalls: functions of other threads that an asyncio loop calls, many in one round."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

from pybrpc.base.guard import run_guarded
from pybrpc.base.lazy_modules import asyncio
from pybrpc.base.once_posted import OncePosted

MOST_CALLED = 256
"""Functions that are called in one round of the loop."""


class LoopCalls:
    """The functions that wait for one loop. In a loop that is closed they are dropped."""

    __slots__ = ("_loop", "_posted", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        """Weak: else the loop, which is the key of this, would never be collected."""
        self._waiting: deque[Callable[[], object]] = deque()
        self._posted = OncePosted()

    def put(self, function: Callable[[], object]) -> None:
        """Have the loop call `function` soon. Any thread; never blocks."""
        self._waiting.append(function)
        if not self._posted.is_posted():
            self._post()

    def _post(self) -> None:
        loop = self._loop()
        try:
            if loop is None:
                raise RuntimeError("the loop is collected")
            self._posted.post_threadsafe(loop, self._call_some, self._has_waiting)
        except RuntimeError:
            self._waiting.clear()

    def _has_waiting(self) -> bool:
        return bool(self._waiting)

    def _call_some(self) -> None:
        self._posted.begin()
        waiting = self._waiting
        try:
            for _ in range(min(len(waiting), MOST_CALLED)):
                # Not `popleft`: after a call of a method a signal handler may raise.
                function = waiting[0]
                del waiting[0]
                run_guarded(function, what="a function for a loop")
        finally:
            if waiting and not self._posted.is_posted():
                self._post()

    def __repr__(self) -> str:
        return f"<LoopCalls {len(self._waiting)} waiting for {self._loop()!r}>"


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopCalls] = WeakKeyDictionary()


def calls_of(loop: asyncio.AbstractEventLoop) -> LoopCalls:
    """The LoopCalls of `loop`, which runs in the calling thread."""
    calls = _of_loops.get(loop)
    if calls is None:
        calls = _of_loops[loop] = LoopCalls(loop)
    return calls


class LoopWait:
    """A task that waits for an event of a stream: a Wait. Made in the loop."""

    __slots__ = ("_calls", "_loop", "future")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls = calls_of(self._loop)
        self.future: asyncio.Future[None] = self._loop.create_future()

    def end(self) -> None:
        if asyncio._get_running_loop() is self._loop:
            self._set()
        else:
            self._calls.put(self._set)

    def _set(self) -> None:
        if not self.future.done():
            self.future.set_result(None)
