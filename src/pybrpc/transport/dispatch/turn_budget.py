"""TurnBudget: how long the readers and writers of a loop may work in one round of it.

A loop calls the functions of all ready descriptors in one round, however many there are, and tasks
and timers wait meanwhile. So what is long is charged to the budget of the loop. Once that is spent,
long work is not done but queued, and the rounds that follow do it in that order, for one budget
each, before they look at other descriptors. Short work never waits: a connection with a small
request gets its response while hundreds of others upload, or derive keys.

Nobody knows before whether a read is long. A reader whose last three reads were long waits for
its turn; one alone may be so because another thread has run meanwhile. Any other reads, but only a
little while the budget is spent (see SocketReader). When thousands of connections end at once, and
their ends alone have spent a budget, all readers wait for their turn.

Nothing tells a function that a round is over. So the budget is filled up again in the round that
follows the one in which it was spent, and never before. A loop with little to do may spend it
within many rounds; then one function waits for one round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from pybrpc.base.once_posted import OncePosted
from pybrpc.transport.dispatch.step_queue import Work, run_work

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

ROUND_S = 0.005
"""Seconds of work in one round. The piece that spends the last of them is not interrupted."""

CALL_S = 0.00002
"""Seconds that each function is charged. Most read a small message and take about so long."""

LONG_S = 0.0002
"""A function that is charged more than this beside is long."""

END_S = 0.0002
"""Seconds that the end of a connection is charged: freeing all that belongs to it takes as long."""

LONG_RUNS = 3
"""After so many long runs, a function waits for its turn."""


class TurnBudget:
    """The budget of one loop. Used in turns only."""

    __slots__ = ("_deferred", "_loop", "_posted", "ends_s", "is_spent", "left_s")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self.left_s = ROUND_S
        """Seconds that may still be charged."""
        self.ends_s = 0.0
        """Seconds that ends of connections were charged in this round."""
        self._posted = OncePosted()
        self._deferred: deque[Work] = deque()
        self.is_spent = False
        """Whether more work has to be deferred."""

    def charge(self, seconds: float) -> None:
        """Work has been done, or is about to be."""
        self.left_s -= seconds
        if self.left_s <= 0.0 and not self.is_spent:
            # In this order: a signal handler may raise in between.
            self._post_refill()
            self.is_spent = True

    def charge_end(self) -> None:
        """A connection has ended."""
        self.ends_s += END_S
        self.charge(END_S)

    def defer(self, work: Work) -> None:
        """Run `work` in one of the next rounds, after all that was deferred before."""
        self._deferred.append(work)
        self._post_refill()

    def _post_refill(self) -> None:
        if not self._posted.is_posted():
            self._posted.post(self._loop, self._refill, self._needs_refill)

    def _needs_refill(self) -> bool:
        return self.is_spent or bool(self._deferred)

    def _refill(self) -> None:
        """A new round: fill up, and run what was deferred. What it defers waits for the next."""
        deferred = self._deferred
        try:
            self._posted.begin()
            self.left_s = ROUND_S
            self.ends_s = 0.0
            self.is_spent = False
            left = len(deferred)
            while left > 0 and not self.is_spent:
                left -= 1
                self.charge(CALL_S)
                # Not `popleft`: after a call of a method a signal handler may raise.
                work = deferred[0]
                del deferred[0]
                run_work(work)
        finally:
            if deferred:
                self._post_refill()
                self.is_spent = True

    def __repr__(self) -> str:
        state = "spent" if self.is_spent else f"{self.left_s * 1000:.1f} ms left"
        return f"<TurnBudget, {state}, {len(self._deferred)} deferred>"


class BudgetedReader(Work):
    """A function of a loop for a readable descriptor, and, while it is deferred, the work."""

    __slots__ = ("_budget", "_function", "_is_deferred", "_long_runs", "is_removed")

    def __init__(self, function: Callable[[], None], budget: TurnBudget) -> None:
        self._function = function
        self._budget = budget
        self._is_deferred = False
        self._long_runs = 0
        self.is_removed = False

    def __call__(self) -> None:
        """The descriptor is readable. A loop says it again in each round, as long as it is."""
        budget = self._budget
        if not budget.is_spent:
            budget.charge(CALL_S)
            self.run()
        elif self._is_deferred:
            return
        elif self._long_runs < LONG_RUNS and budget.ends_s < ROUND_S:
            budget.charge(CALL_S)
            self.run()
        else:
            self._is_deferred = True
            budget.defer(self)

    def run(self) -> None:
        self._is_deferred = False
        if not self.is_removed:
            budget = self._budget
            left_s = budget.left_s
            self._function()
            self._long_runs = self._long_runs + 1 if left_s - budget.left_s > LONG_S else 0

    @property
    def description(self) -> str:
        return f"the reader {self._function!r}"

    def __repr__(self) -> str:
        return f"<BudgetedReader {self._function!r}>"
