"""Outcomes are reported by the dispatcher, or returned to the caller if it is closed."""

from __future__ import annotations

from typing import Any

from pybrpc.errors import ErrorCode, make_rpc_error
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.step_queue import Work
from pybrpc.transport.writing.outcomes import InternalOutcome, report, run_all

ERROR = make_rpc_error(ErrorCode.EEOF, "the test says so")


class NotingDispatcher(StepDispatcher):
    def __init__(self) -> None:
        super().__init__()
        self.completed: list[Work] = []

    def complete(self, work: Work) -> None:
        self.completed.append(work)


def test_outcome_is_a_completion() -> None:
    dispatcher, told = NotingDispatcher(), []
    assert report(dispatcher, told.append, ERROR) is None
    dispatcher.run_until_idle()
    assert told == []
    (work,) = dispatcher.completed
    assert work.description == "the on_outcome of a write"
    work.run()
    assert told == [ERROR]


def test_internal_outcome_is_called_in_any_turn() -> None:
    dispatcher, told = NotingDispatcher(), []
    assert report(dispatcher, InternalOutcome(told.append), None) is None
    assert told == []
    dispatcher.run_until_idle()
    assert (told, dispatcher.completed) == ([None], [])


def test_outcomes_that_a_closed_dispatcher_refuses_are_run_by_the_caller() -> None:
    dispatcher, told = StepDispatcher(), []
    dispatcher.close()

    def fail(error: Any) -> None:
        raise SystemExit

    outcomes: list[Any] = [told.append, InternalOutcome(told.append), fail, told.append]
    works = [report(dispatcher, outcome, ERROR) for outcome in outcomes]
    assert told == []
    run_all([work for work in works if work is not None])
    assert told == [ERROR] * 3
