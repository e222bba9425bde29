"""StepDispatcher: a dispatcher without a thread, which runs one continuation at each `step()`.

A seed decides which one runs next: a posted function, a timer that is due by a fake clock, or the
reader or writer of a descriptor that is ready. So one test sees many interleavings of one scenario,
over real descriptors and without any waiting, and each can be run again by its seed.
"""

from __future__ import annotations

import logging
import random
import select
import threading
from collections import deque
from functools import partial

from pybrpc.base.deadline import NEVER
from pybrpc.transport.dispatch.event_dispatcher import (
    Continuation,
    DispatcherClosedError,
    InlineTask,
)
from pybrpc.transport.dispatch.poller_role import Waiter
from pybrpc.transport.dispatch.step_queue import Work, run_work

__all__ = ["FakeClock", "StepDispatcher"]


def __dir__() -> list[str]:
    return __all__


logger = logging.getLogger("pybrpc")

Choice = tuple[str, int]
"""A continuation that a step could run: ("posted", index), ("timer", index), ("reader", fd) or
("writer", fd)."""


class FakeClock:
    """A clock that stands still. It may replace the module `time` in a module under test.

    It starts before any real clock does, which counts from the start of the machine: a deadline by
    the real clock, of code that the test gave no fake one, is never due by accident.
    """

    def __init__(self, now_s: float = 1.0) -> None:
        self.now_s = now_s

    def monotonic(self) -> float:
        """The time of this clock in seconds."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass; nothing sleeps."""
        self.now_s += seconds


class StepTimer:
    """The TimerHandle of `StepDispatcher.call_at`."""

    def __init__(self, deadline: float, function: Continuation) -> None:
        self.deadline = deadline
        self.function: Continuation | None = function

    def cancel(self) -> None:
        self.function = None


class StepDispatcher:
    """An EventDispatcher whose turns are made by hand: a turn is one `step()`.

    With a `seed` each step picks at random among all continuations that may run, so posted
    functions don't run in the order of posting. Without one, posted functions run first and in
    order, then timers, then descriptors. Any thread may call `post` and `call_at`; only the thread
    that steps may call the other methods. An exception of a continuation is logged and kept in
    `raised`.
    """

    budget = None

    def __init__(
        self,
        seed: int | None = None,
        *,
        flushes_at_turn_end: bool = True,
        clock: FakeClock | None = None,
    ) -> None:
        self.flushes_at_turn_end = flushes_at_turn_end
        self.clock = clock or FakeClock()
        self.raised: list[BaseException] = []
        self.steps = 0
        self._rng = None if seed is None else random.Random(seed)
        self._posted: deque[Continuation] = deque()
        self._timers: list[StepTimer] = []
        self._readers: dict[int, Continuation] = {}
        self._writers: dict[int, Continuation] = {}
        self._stepping_thread = 0
        self._is_closed = False

    # --- the interface of a dispatcher ---

    def is_current(self) -> bool:
        return self._stepping_thread == threading.get_ident()

    def require_polling(self) -> None:
        """Does nothing: turns are made by hand."""

    def release_polling(self) -> None:
        """Does nothing."""

    def wait(self, waiter: Waiter, deadline: float) -> bool:
        return waiter.sleep(deadline)

    def run_after_turn(self, task: InlineTask) -> bool:
        return False

    def post(self, function: Continuation) -> None:
        if self._is_closed:
            raise DispatcherClosedError(f"{self!r} is closed")
        self._posted.append(function)

    def post_cleanup(self, function: Continuation) -> None:
        """As `post`."""
        self.post(function)

    def complete(self, work: Work) -> None:
        self.post(partial(run_work, work))

    def post_costly(self, work: Work) -> None:
        self.post(partial(run_work, work))

    def call_at(self, deadline: float, function: Continuation) -> StepTimer:
        timer = StepTimer(deadline, function)
        if deadline != NEVER:
            self._timers.append(timer)
        return timer

    def add_reader(self, fd: int, function: Continuation) -> None:
        self._readers[fd] = function

    def remove_reader(self, fd: int) -> None:
        self._readers.pop(fd, None)

    def add_writer(self, fd: int, function: Continuation) -> None:
        self._writers[fd] = function

    def remove_writer(self, fd: int) -> None:
        self._writers.pop(fd, None)

    # --- making turns ---

    def step(self) -> bool:
        """Run one continuation that may run now; False if there is none. Never waits."""
        choices = self._choices()
        if not choices:
            return False
        self.steps += 1
        self._run(self._take(choices[0] if self._rng is None else self._rng.choice(choices)))
        return True

    def run_until_idle(self, max_steps: int = 100_000) -> int:
        """Step until nothing may run. Return the number of steps.

        AssertionError after `max_steps`: something keeps itself busy.
        """
        for count in range(max_steps):
            if not self.step():
                return count
        raise AssertionError(f"{self!r} is not idle after {max_steps} steps")

    def advance(self, seconds: float) -> None:
        """Advance the clock, then step until nothing may run."""
        self.clock.advance(seconds)
        self.run_until_idle()

    def close(self) -> None:
        """Step until nothing may run, and refuse posts from now on."""
        self.run_until_idle()
        self._is_closed = True

    @property
    def is_watching(self) -> bool:
        """Whether any descriptor has a reader or a writer."""
        return bool(self._readers or self._writers)

    def _choices(self) -> list[Choice]:
        now = self.clock.monotonic()
        self._timers = [timer for timer in self._timers if timer.function is not None]
        posted = [("posted", index) for index in range(len(self._posted))]
        due = [("timer", index) for index, t in enumerate(self._timers) if t.deadline <= now]
        due.sort(key=lambda choice: self._timers[choice[1]].deadline)
        return [*posted, *due, *self._ready()]

    def _ready(self) -> list[Choice]:
        poll = select.poll()
        for fd in {*self._readers, *self._writers}:
            reads = select.POLLIN if fd in self._readers else 0
            poll.register(fd, reads | (select.POLLOUT if fd in self._writers else 0))
        ready: list[Choice] = []
        for fd, mask in poll.poll(0):
            if mask & ~select.POLLOUT and fd in self._readers:
                ready.append(("reader", fd))
            if mask & ~select.POLLIN and fd in self._writers:
                ready.append(("writer", fd))
        return ready

    def _take(self, choice: Choice) -> Continuation | None:
        kind, key = choice
        if kind == "posted":
            function = self._posted[key]
            del self._posted[key]
            return function
        if kind == "timer":
            return self._timers.pop(key).function
        return (self._readers if kind == "reader" else self._writers)[key]

    def _run(self, function: Continuation | None) -> None:
        if function is None:
            return
        self._stepping_thread = threading.get_ident()
        try:
            function()
        except Exception as error:
            self.raised.append(error)
            logger.exception("a continuation of %r raised", self)
        finally:
            self._stepping_thread = 0

    def __repr__(self) -> str:
        return (
            f"<StepDispatcher {len(self._posted)} posted, {len(self._timers)} timers, "
            f"{len(self._readers)} readers, {len(self._writers)} writers, {self.steps} steps>"
        )
