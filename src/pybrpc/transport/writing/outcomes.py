"""Outcomes: what became of a write, reported by the dispatcher.

The callback of an outcome is user code. The thread that finds out what became of the write never
calls it: the dispatcher does, as a completion. So the outcome may be noted while a write right is
held, a producer runs nobody's code, and a chain of a million writes needs one stack frame.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pybrpc.errors import RpcError
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher
from pybrpc.transport.dispatch.step_queue import FunctionWork, Work, run_work

Outcome = Callable[[RpcError | None], None]
"""Called once, when a write has ended: with `None` if the kernel has taken all of it, else with the
error."""

_DESCRIPTION = "the on_outcome of a write"


class InternalOutcome:
    """An Outcome of this library: called in any turn, so user code doesn't delay it. Not inside
    the call that finds out either."""

    __slots__ = ("_function",)

    def __init__(self, function: Outcome) -> None:
        self._function = function

    def __call__(self, error: RpcError | None) -> None:
        self._function(error)


def report(dispatcher: EventDispatcher, outcome: Outcome, error: RpcError | None) -> Work | None:
    """Have `outcome(error)` called in a turn. If none will come, this returns the Work that calls
    it: for the caller to run once it holds no write right."""
    work = FunctionWork(outcome, error, _DESCRIPTION)
    try:
        if type(outcome) is InternalOutcome:
            dispatcher.post_cleanup(partial(run_work, work))
        else:
            dispatcher.complete(work)
    except DispatcherClosedError:
        return work
    return None


def run_all(works: list[Work]) -> None:
    """Run each, without a write right. Never raises."""
    for work in works:
        run_work(work)
