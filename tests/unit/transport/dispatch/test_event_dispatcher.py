"""What ends something runs in a turn, or at once if there are none any more."""

from __future__ import annotations

from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import run_cleanup


def test_in_a_turn_while_there_are_any() -> None:
    ran: list[bool] = []
    step = StepDispatcher()
    run_cleanup(step, lambda: ran.append(step.is_current()))
    assert ran == []
    step.run_until_idle()
    assert ran == [True]


def test_at_once_when_there_are_none_any_more() -> None:
    ran: list[bool] = []
    step = StepDispatcher()
    step.close()
    run_cleanup(step, lambda: ran.append(step.is_current()))
    assert ran == [False]
