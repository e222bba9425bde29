"""PeriodicTimer, by a fake clock."""

from __future__ import annotations

import pytest

from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch import periodic
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.periodic import PeriodicTimer


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> StepDispatcher:
    dispatcher = StepDispatcher()
    monkeypatch.setattr(periodic, "time", dispatcher.clock)
    return dispatcher


def test_check_runs_after_the_delay_and_then_after_each_delay_it_returns(
    step: StepDispatcher,
) -> None:
    began = step.clock.monotonic()
    times: list[float] = []
    delays = iter([2.0, 3.0, None])

    def check(now: float) -> float | None:
        times.append(now - began)
        return next(delays)

    timer = PeriodicTimer(step, check)
    timer.start(1.0)
    assert timer.is_running
    for _ in range(10):
        step.advance(1.0)
    assert times == [1.0, 3.0, 6.0]
    assert not timer.is_running


def test_stopped_timer_calls_nothing(step: StepDispatcher) -> None:
    calls: list[float] = []

    def check(now: float) -> float:
        calls.append(now)
        return 1.0

    timer = PeriodicTimer(step, check)
    timer.start(1.0)
    timer.stop()
    step.advance(5.0)
    assert calls == []
    timer.start(1.0)
    step.advance(1.0)
    assert len(calls) == 1
    timer.stop()


def test_check_that_stops_the_timer_is_not_called_again(step: StepDispatcher) -> None:
    calls: list[float] = []

    def check(now: float) -> float:
        calls.append(now)
        timer.stop()
        return 1.0

    timer = PeriodicTimer(step, check)
    timer.start(1.0)
    step.advance(1.0)
    step.advance(5.0)
    assert len(calls) == 1


def test_check_that_restarts_the_timer_leaves_one_timer(step: StepDispatcher) -> None:
    times: list[float] = []

    def check(now: float) -> float:
        times.append(now)
        if len(times) == 1:
            timer.stop()
            timer.start(1.0)
        return 1.0

    timer = PeriodicTimer(step, check)
    timer.start(1.0)
    for _ in range(4):
        step.advance(1.0)
    assert len(times) == len(set(times)) == 4
    timer.stop()


def test_check_that_raises_is_called_again(step: StepDispatcher) -> None:
    calls: list[float] = []

    def check(now: float) -> float:
        calls.append(now)
        raise ValueError

    timer = PeriodicTimer(step, check, retry_s=2.0)
    timer.start(1.0)
    for _ in range(3):
        step.advance(1.0)
    assert len(calls) == 2
    assert [type(error) for error in step.raised] == [ValueError, ValueError]
    timer.stop()


def test_closed_dispatcher_is_no_error() -> None:
    dispatcher = EpollDispatcher()
    dispatcher.close()
    timer = PeriodicTimer(dispatcher, lambda now: 1.0)
    timer.start(1.0)
    assert not timer.is_running
    assert "stopped" in repr(timer)
