"""run_cleanup: runs a function in a turn, or at once if no turn will come."""

from __future__ import annotations

from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import run_cleanup


def test_cleanup_runs_in_a_turn() -> None:
    ran: list[bool] = []
    step = StepDispatcher()
    run_cleanup(step, lambda: ran.append(step.is_current()))
    assert ran == []
    step.run_until_idle()
    assert ran == [True]


def test_cleanup_runs_at_once_if_the_dispatcher_is_closed() -> None:
    ran: list[bool] = []
    step = StepDispatcher()
    step.close()
    run_cleanup(step, lambda: ran.append(step.is_current()))
    assert ran == [False]
