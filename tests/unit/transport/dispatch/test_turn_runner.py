"""A turn is bounded: what it has no time for is left to the next one, in order."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from pybrpc.transport.dispatch import turn_runner
from pybrpc.transport.dispatch.step_queue import FunctionWork
from pybrpc.transport.dispatch.timers import Timer
from pybrpc.transport.dispatch.turn_runner import TURN_S, TurnRunner

pytestmark = pytest.mark.python_only


class Clock:
    """Stands still, but for those that let it go on."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(turn_runner, "monotonic", clock.monotonic)
    return clock


@pytest.fixture
def runner() -> Iterator[TurnRunner]:
    runner = TurnRunner("a test")
    yield runner
    runner.fds.close()


@pytest.fixture
def readable_fds() -> Iterator[list[int]]:
    pipes = [os.pipe() for _ in range(10)]
    for _, write_fd in pipes:
        os.write(write_fd, b"x")
    yield [read_fd for read_fd, _ in pipes]
    for pipe in pipes:
        for fd in pipe:
            os.close(fd)


def test_each_ready_descriptor_has_its_turn(
    clock: Clock, runner: TurnRunner, readable_fds: list[int]
) -> None:
    """None has a second turn before all had one, although a turn has time for three only."""
    handled: list[int] = []

    def handle(fd: int) -> None:
        clock.now_s += TURN_S / 2.5
        handled.append(fd)

    for fd in readable_fds:
        runner.fds.add_reader(fd, lambda fd=fd: handle(fd))
    runner.run_turn(0.0)
    assert len(handled) == 3
    while len(handled) < len(readable_fds):
        runner.run_turn(0.0)
    assert sorted(handled[: len(readable_fds)]) == sorted(readable_fds)


def test_short_function_waits_for_one_long_one_and_not_for_all(
    clock: Clock, runner: TurnRunner, readable_fds: list[int]
) -> None:
    """As a small request among uploads, which are ready again and again."""
    handled: list[int] = []

    def handle(fd: int, seconds: float) -> None:
        clock.now_s += seconds
        handled.append(fd)

    *uploads, small = readable_fds
    for fd in uploads:
        runner.fds.add_reader(fd, lambda fd=fd: handle(fd, TURN_S))
    for _ in range(2 * len(uploads)):
        runner.run_turn(0.0)
    assert set(handled[: len(uploads)]) == set(handled[len(uploads) :]) == set(uploads)
    runner.fds.add_reader(small, lambda: handle(small, 0.0))
    handled.clear()
    for _ in range(4 * len(uploads)):
        runner.run_turn(0.0)
    assert handled[:2] == [handled[0], small]
    # Each upload has its turn, though the short one is ready again and again.
    assert set(handled) == {*uploads, small}
    assert max(len(list(same)) for _, same in itertools.groupby(handled)) == 1


def test_timers_and_posted_functions_come_between_ready_descriptors(
    clock: Clock, runner: TurnRunner, readable_fds: list[int]
) -> None:
    order: list[str] = []

    def handle() -> None:
        clock.now_s += TURN_S
        order.append("reader")

    for fd in readable_fds:
        runner.fds.add_reader(fd, handle)
    runner.timers.add(Timer(clock.now_s, lambda: order.append("timer")))
    runner.posted.append(lambda: order.append("posted"))
    runner.run_turn(0.0)
    assert order == ["reader", "timer", "posted"]


def test_posted_functions_are_left_to_the_next_turn(clock: Clock, runner: TurnRunner) -> None:
    done: list[int] = []

    def take_long(number: int) -> None:
        clock.now_s += TURN_S / 2
        done.append(number)

    for number in range(5):
        runner.posted.append(lambda number=number: take_long(number))
    runner.run_turn(0.0)
    assert done == [0, 1]
    runner.run_turn(10.0)
    assert done == [0, 1, 2, 3]


def test_due_timers_are_left_to_the_next_turn(clock: Clock, runner: TurnRunner) -> None:
    done: list[int] = []

    def take_long(number: int) -> None:
        clock.now_s += TURN_S / 2
        done.append(number)

    for number in range(5):
        runner.timers.add(Timer(clock.now_s, lambda number=number: take_long(number)))
    runner.run_turn(0.0)
    assert done == [0, 1]
    runner.run_turn(0.0)
    assert done == [0, 1, 2, 3]


def test_turn_of_a_caller_runs_no_completions(runner: TurnRunner) -> None:
    done: list[int] = []
    runner.completions.add(FunctionWork(done.append, 1, "append"))
    runner.run_turn(0.0, is_callers=True)
    assert done == []
    assert runner.has_work()
    runner.run_turn(10.0)
    assert done == [1]


def test_what_strikes_the_library_in_the_turn_of_a_caller_is_for_the_caller(
    runner: TurnRunner, caplog: pytest.LogCaptureFixture
) -> None:
    class LibraryPart:
        __module__ = "pybrpc.transport.part"

        def continue_(self) -> None:
            raise TimeoutError("set from outside")

    runner.posted.append(LibraryPart().continue_)
    runner.run_turn(0.0, is_callers=True)
    assert isinstance(runner.take_interruption(), TimeoutError)
    assert runner.take_interruption() is None
    assert not caplog.records


def test_what_a_posted_function_of_the_user_raises_is_not_for_the_caller(
    runner: TurnRunner, caplog: pytest.LogCaptureFixture
) -> None:
    def user_code() -> None:
        raise ValueError

    runner.posted.append(user_code)
    runner.run_turn(0.0, is_callers=True)
    assert runner.take_interruption() is None
    assert len(caplog.records) == 1
