"""StepQueue: work that a dispatcher does in bounded steps, one step in each turn.

The work is data in a queue that belongs to the dispatcher, so nothing is lost when a part of it
raises. A step does a bounded part of it, then the turn goes on, and the rest follows in the next
turns. Work that adds more work does not call it: a chain of any length needs one stack frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

from pybrpc.base.guard import TRANSPORT, deliver_interrupt

STEP_S = 0.002
"""Seconds after which a step begins no more work. The work that runs then is not interrupted."""

MAX_WORKS_PER_STEP = 1024


class Work:
    """One piece of work. A base class and no protocol: compiled, `run` is called directly."""

    __slots__ = ()

    def run(self) -> object:
        """Do it. It may raise anything, which is logged."""
        raise NotImplementedError

    @property
    def description(self) -> str:
        """Name of the work, for the log if it raises."""
        return type(self).__name__


class FunctionWork(Work):
    """A Work that calls a function with one argument."""

    __slots__ = ("_argument", "_description", "_function")

    def __init__(self, function: Callable[[Any], object], argument: Any, description: str) -> None:
        self._function = function
        self._argument = argument
        self._description = description

    def run(self) -> object:
        return self._function(self._argument)

    @property
    def description(self) -> str:
        return self._description

    def __repr__(self) -> str:
        return f"<FunctionWork {self._description}>"


class StepQueue:
    """Work that waits for its step, oldest first. Any thread may add; one at a time runs steps."""

    __slots__ = ("_append", "_most", "_pop_oldest", "_step_s", "_waiting", "is_running")

    def __init__(self, step_s: float | None = None, most: int = MAX_WORKS_PER_STEP) -> None:
        """`step_s`: STEP_S if it is not given."""
        self._step_s = STEP_S if step_s is None else step_s
        self._most = most
        waiting: deque[Work] = deque()
        self._waiting = waiting
        # To look these up costs more than to call them.
        self._append = waiting.append
        self._pop_oldest = waiting.popleft
        self.is_running = False
        """Whether a step runs now."""

    def add(self, work: Work) -> None:
        self._append(work)

    def withdraw(self, work: Work) -> bool:
        """Take `work` back. False if a step has taken it already."""
        try:
            self._waiting.remove(work)
        except (ValueError, IndexError):
            return False
        return True

    def is_empty(self) -> bool:
        return not self._waiting

    def run_step(self) -> None:
        """Do the oldest work, until the step has lasted long enough. Never raises.

        Does nothing inside another step.
        """
        if self.is_running or not self._waiting:
            return
        left = self._most
        try:
            self.is_running = True
            stops_at = monotonic() + self._step_s
            while left > 0 and self._run_oldest() and monotonic() < stops_at:
                left -= 1
        finally:
            self.is_running = False

    def run_all(self) -> None:
        """Do all work, also that which is added meanwhile. For the end of the dispatcher."""
        while self._run_oldest():
            continue

    def _run_oldest(self) -> bool:
        """Do one piece. False if there is none."""
        try:
            work = self._pop_oldest()
        except IndexError:
            return False
        run_work(work)
        return True

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<StepQueue of {len(self._waiting)}>"


def run_work(work: Work) -> None:
    """Do `work`; what it raises is logged. Never raises."""
    try:
        work.run()
    except BaseException as error:
        TRANSPORT.raised("%s raised", work.description, error=error)
        deliver_interrupt(error)
