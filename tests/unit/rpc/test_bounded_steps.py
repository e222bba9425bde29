"""BoundedSteps: a bounded part in each turn, and nothing is lost by what one part raises."""

from __future__ import annotations

import weakref

import pytest

from pybrpc.rpc import bounded_steps
from pybrpc.rpc.bounded_steps import MAX_PER_STEP, STEP_S, BoundedSteps
from pybrpc.testing.step_dispatcher import FakeClock, StepDispatcher


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(bounded_steps, "time", clock)
    return clock


class Thing:
    pass


class Things:
    """Numbers that are to be handled once each."""

    def __init__(self, clock: FakeClock, count: int) -> None:
        self.clock = clock
        self.dispatcher = StepDispatcher()
        self.left = list(range(count))
        self.handled: list[int] = []
        self.each_s = 0.0
        self.bad: dict[int, type[BaseException]] = {}
        self.steps = BoundedSteps(self.dispatcher, lambda: list(self.left), self.handle)

    def handle(self, number: int) -> None:
        if number not in self.left:
            return
        self.left.remove(number)
        self.handled.append(number)
        self.clock.advance(self.each_s)
        if number in self.bad:
            raise self.bad[number]

    def run(self) -> list[int]:
        """Run all steps; how many things each of them handled."""
        counts = []
        before = 0
        self.dispatcher.post(self.steps.run)
        while self.dispatcher.step():
            counts.append(len(self.handled) - before)
            before = len(self.handled)
        return counts


def test_step_handles_a_bounded_number(clock: FakeClock) -> None:
    things = Things(clock, 2 * MAX_PER_STEP + 3)
    assert things.run() == [MAX_PER_STEP, MAX_PER_STEP, 3]
    assert things.handled == list(range(2 * MAX_PER_STEP + 3))


def test_step_ends_when_its_time_is_over(clock: FakeClock) -> None:
    things = Things(clock, 10)
    things.each_s = STEP_S * 0.6
    assert things.run() == [2, 2, 2, 2, 2, 0]


def test_thing_that_takes_long_is_finished(clock: FakeClock) -> None:
    things = Things(clock, 3)
    things.each_s = 10 * STEP_S
    assert things.run() == [1, 1, 1, 0]


def test_nothing_to_do_is_one_step(clock: FakeClock) -> None:
    assert Things(clock, 0).run() == [0]


def test_things_that_are_added_meanwhile_are_handled(clock: FakeClock) -> None:
    things = Things(clock, 2)
    handle = things.handle

    def handle_and_add(number: int) -> None:
        handle(number)
        if number < 5:
            things.left.append(number + 2)

    things.steps = BoundedSteps(things.dispatcher, lambda: list(things.left), handle_and_add)
    things.run()
    assert sorted(things.handled) == list(range(7))


def test_thing_that_is_gone_when_its_step_comes_is_left_out(clock: FakeClock) -> None:
    things = Things(clock, 2 * MAX_PER_STEP)
    things.dispatcher.post(things.steps.run)
    things.dispatcher.step()
    del things.left[:]
    things.dispatcher.run_until_idle()
    assert things.handled == list(range(MAX_PER_STEP))


def test_thing_is_dropped_once_it_was_handled(clock: FakeClock) -> None:
    """To free 200,000 calls at the end takes a tenth of a second."""
    made = [Thing() for _ in range(3)]
    left = [weakref.ref(thing) for thing in made]
    kept: list[int] = []

    def find() -> list[Thing]:
        found = made[:]
        made.clear()
        return found

    def handle(thing: Thing) -> None:
        kept.append(sum(reference() is not None for reference in left))

    BoundedSteps(StepDispatcher(), find, handle).run()
    assert kept == [3, 2, 1]


@pytest.mark.parametrize("kind", [ValueError, MemoryError])
def test_exception_loses_no_other_thing_and_is_raised(
    clock: FakeClock, kind: type[Exception]
) -> None:
    things = Things(clock, 10)
    things.bad = {0: kind, 3: kind, 9: kind}
    things.run()
    assert things.handled == list(range(10))
    assert [type(error) for error in things.dispatcher.raised] == [kind] * 3


def test_all_is_done_at_once_if_no_turn_will_come(clock: FakeClock) -> None:
    things = Things(clock, 3 * MAX_PER_STEP)
    things.bad = {1: SystemExit, 700: KeyboardInterrupt}
    things.dispatcher.close()
    with pytest.raises(SystemExit):
        things.steps.run()
    assert things.handled == list(range(3 * MAX_PER_STEP))
    assert repr(things.steps).endswith(", 0 left>")
