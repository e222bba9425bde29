"""EventDispatcher: the interface of what waits for readiness and runs continuations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pybrpc.transport.dispatch.poller_role import Waiter
from pybrpc.transport.dispatch.standby import InlineTask

Continuation = Callable[[], None]


class TimerHandle(Protocol):
    """What `call_at` gives."""

    def cancel(self) -> None:
        """Don't call it any more. May be called from any thread, any number of times."""


class EventDispatcher(Protocol):
    """Runs continuations, one at a time, in turns.

    A turn waits for readiness, then runs what became ready, then what was posted.
    """

    flushes_at_turn_end: bool
    """Whether what is posted inside a turn still runs in this turn, at no cost.

    If so, writes inside a turn are all put off to its end. If not (an asyncio loop needs one more
    round), the first write of a turn goes out at once and only later ones are put off.
    """

    def is_current(self) -> bool:
        """Whether the calling code runs inside a turn of this dispatcher."""

    def require_polling(self) -> None:
        """Something may come that no thread waits for: turns must come by themselves. Any thread.

        Until `release_polling`, once for each. Without it a dispatcher that waiting callers may drive is
        as much as a nap late while they do (see PollerRole).
        """

    def release_polling(self) -> None:
        """Any thread."""

    def wait(self, waiter: Waiter, deadline: float) -> bool:
        """Block the thread until `waiter.is_over`; False if the monotonic clock passed `deadline`.

        It may run turns meanwhile. Not inside a turn.
        """

    def lend(self, errand: InlineTask) -> bool:
        """Have the thread that drives run `errand` after this turn, outside of it.

        Only inside a turn. False if it can't: the errand must be done elsewhere.
        """

    def post(self, function: Continuation) -> None:
        """Run `function` soon, in a turn. Any thread; never blocks; wakes the dispatcher.

        Raises DispatcherClosedError if no turn will come any more.
        """

    def post_cleanup(self, function: Continuation) -> None:
        """`post` of what ends something, once: taken as long as any turn runs, or will.

        So who gets DispatcherClosedError may do it itself: nothing else is being run.
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


class DispatcherClosedError(RuntimeError):
    """The dispatcher has stopped: its thread has ended, or its loop is closed."""


def run_cleanup(dispatcher: EventDispatcher, function: Continuation) -> None:
    """Run `function`, which ends something, in a turn, or here if there are none any more."""
    try:
        dispatcher.post_cleanup(function)
    except DispatcherClosedError:
        function()
