"""EventDispatcher: the interface of an object that waits for ready descriptors and runs
continuations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pybrpc.errors import DispatcherClosedError as DispatcherClosedError
from pybrpc.transport.dispatch.poller_role import Waiter
from pybrpc.transport.dispatch.step_queue import Work

if TYPE_CHECKING:
    from pybrpc.transport.dispatch.turn_budget import TurnBudget

Continuation = Callable[[], None]


class TimerHandle(Protocol):
    """A timer that `call_at` has set."""

    def cancel(self) -> None:
        """Don't call the function any more. Any thread, any number of times."""


class InlineTask(Protocol):
    """Work that the polling thread may do between two turns, though it can take long."""

    def run(self, is_handed_over: Callable[[], bool]) -> None:
        """Do the work, outside of any turn. Once `is_handed_over()` is true, begin nothing more."""

    def hand_over(self) -> None:
        """Have other threads do the parts that `run` has not begun. In a turn of another thread.

        Called if another thread polls now, because this task or an earlier one took long.
        """


class EventDispatcher(Protocol):
    """Runs continuations, one at a time, in turns.

    A turn waits for readiness, then runs what became ready, then what was posted, then a step of
    the costly work, then a step of the completions. It is bounded: what it has no time for is left
    to the next turns.
    """

    @property
    def budget(self) -> TurnBudget | None:
        """The budget to which sockets charge what they do in turns, if somebody else, a loop,
        decides how long a turn lasts."""

    flushes_at_turn_end: bool
    """Whether a function posted inside a turn still runs in this turn, at no cost.

    If so, writes inside a turn are all deferred to its end. If not (an asyncio loop needs one more
    round), the first write of a turn goes out at once and only later ones are deferred.
    """

    def is_current(self) -> bool:
        """Whether the calling code runs inside a turn of this dispatcher."""

    def require_polling(self) -> None:
        """Have turns run from now on, as events are expected that no blocked thread waits for. Any
        thread.

        Each call needs one of `release_polling` later. Without it, a dispatcher that waiting
        callers may poll can be late by `poller_role.LONGEST_DELAY_S` while they do.
        """

    def release_polling(self) -> None:
        """Undo one call of `require_polling`. Any thread."""

    def wait(self, waiter: Waiter, deadline: float) -> bool:
        """Block the thread until `waiter.is_over`; False if the monotonic clock passed `deadline`.

        It may run turns meanwhile. Not inside a turn.
        """

    def run_after_turn(self, task: InlineTask) -> bool:
        """Have the polling thread run `task` after this turn, outside of it.

        Only inside a turn. False if the dispatcher can't: the task must be done elsewhere.
        """

    def post(self, function: Continuation) -> None:
        """Run `function` soon, in a turn. Any thread; never blocks; wakes the dispatcher.

        Raises DispatcherClosedError if no turn will come any more.
        """

    def post_cleanup(self, function: Continuation) -> None:
        """Like `post`, for a function that ends something, once: accepted until the last turn is
        over.

        So a caller that gets DispatcherClosedError may run the function itself: nothing else runs.
        """

    def complete(self, work: Work) -> None:
        """Run `work`, which is user code, such as the callback of a call that has ended.

        Soon, in a turn, but not in one that a blocked caller runs. Any thread; never blocks. Raises
        DispatcherClosedError if no turn will come any more: see `completion`.
        """

    def post_costly(self, work: Work) -> None:
        """Run `work`, which may take a millisecond or more, in a turn, a few such works in each.

        Any thread; never blocks. Raises DispatcherClosedError as `post` does.
        """

    def call_at(self, deadline: float, function: Continuation) -> TimerHandle:
        """Run `function` in a turn once the monotonic clock has passed `deadline`. Any thread."""

    def add_reader(self, fd: int, function: Continuation) -> None:
        """Run `function` in every turn in which `fd` can be read. Only inside a turn."""

    def remove_reader(self, fd: int) -> None:
        """Only inside a turn; nothing happens if there is none."""

    def add_writer(self, fd: int, function: Continuation) -> None:
        """Run `function` in every turn in which `fd` can be written. Only inside a turn."""

    def remove_writer(self, fd: int) -> None:
        """Only inside a turn; nothing happens if there is none."""


def run_cleanup(dispatcher: EventDispatcher, function: Continuation) -> None:
    """Run `function`, which ends something, in a turn, or here if no turn will come any more."""
    try:
        dispatcher.post_cleanup(function)
    except DispatcherClosedError:
        function()
