"""WaitQueue: in order, each call once, none lost, under every schedule."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.client.calls.attempt import WaitPoint
from pybrpc.client.endpoints.wait_queue import MANY_GONE, Waiting, WaitQueue
from pybrpc.testing.step_scheduler import ScheduleFailure, StepScheduler, explore
from tests.schedules.traced import TracedDict

_next = WaitQueue.__dict__["_next"]


class Waiter:
    """A call, as far as a WaitQueue needs it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.place: WaitPoint | None = None

    def wait_in(self, place: WaitPoint) -> None:
        self.place = place

    def try_claim(self) -> bool:
        return self.place is not None and self.place.try_claim()


def add(queue: WaitQueue, *names: str) -> list[Any]:
    waiters: list[Any] = [Waiter(name) for name in names]
    for waiter in waiters:
        queue.add(waiter)
    return waiters


def names(calls: list[Any]) -> str:
    return "".join(call.name for call in calls)


def take_one_by_one(queue: WaitQueue) -> str:
    taken: list[Any] = []
    while (call := queue.take()) is not None:
        taken.append(call)
    return names(taken)


def test_take_gives_the_oldest_call_first() -> None:
    queue = WaitQueue()
    add(queue, *"abc")
    assert len(queue) == 3
    assert repr(queue) == "<WaitQueue of 3 calls>"
    assert take_one_by_one(queue) == "abc"
    assert len(queue) == 0
    add(queue, *"de")
    assert take_one_by_one(queue) == "de"


def test_claimed_call_is_not_taken() -> None:
    queue = WaitQueue()
    a, b, c = add(queue, *"abc")
    assert b.try_claim()
    assert not b.try_claim()
    assert len(queue) == 2
    assert take_one_by_one(queue) == "ac"
    assert not a.try_claim()
    assert not c.try_claim()


def test_calls_that_wait_are_listed_oldest_first_and_not_claimed() -> None:
    queue = WaitQueue()
    waiters = add(queue, *"abcd")
    assert waiters[1].try_claim()
    assert names([waiting.call for waiting in queue.all()]) == "acd"
    assert [waiting.try_claim() for waiting in queue.all()] == [True] * 3
    assert len(queue) == 0


@pytest.mark.parametrize("gone", [1, MANY_GONE, MANY_GONE + 3, 10 * MANY_GONE])
def test_take_passes_over_claimed_calls(gone: int) -> None:
    queue = WaitQueue()
    for waiter in add(queue, "a", *["gone"] * gone, "b", *["gone"] * gone, "c"):
        if waiter.name == "gone":
            assert waiter.try_claim()
    assert take_one_by_one(queue) == "abc"


def test_take_passes_over_many_claimed_calls_at_once() -> None:
    queue = WaitQueue()
    queue._tickets.increment_and_get(10**15)
    add(queue, *"ab")
    assert take_one_by_one(queue) == "ab"


class TracedQueue(WaitQueue):
    """Comes to a point before each access to what threads share."""

    scheduler: StepScheduler

    @classmethod
    def make(cls, scheduler: StepScheduler) -> TracedQueue:
        cls.scheduler = scheduler
        queue = cls()
        queue.entries = TracedDict(scheduler, "waiting")
        return queue

    @property
    def _next(self) -> int:  # type: ignore[override]
        self.scheduler.point("read next")
        number: int = _next.__get__(self)
        return number

    @_next.setter
    def _next(self, value: int) -> None:
        self.scheduler.point(f"next is {value}")
        _next.__set__(self, value)


class NeverLooksAgain(TracedQueue):
    """A mutant: a call that was passed while it queued does not notice."""

    def add(self, call: Any) -> None:
        waiting = Waiting(call, self.entries)
        call.wait_in(waiting)
        waiting.ticket = self._tickets.increment_and_get(1)
        self.entries[waiting.ticket] = waiting


def check(kind: type[TracedQueue], max_preemptions: int) -> int:
    """Two who queue, one of them impatient, and one who takes, as often as it is told to."""

    def scenario(scheduler: StepScheduler) -> None:
        queue = kind.make(scheduler)
        ends: list[str] = []

        def queue_up(name: str, is_impatient: bool) -> None:
            (waiter,) = add(queue, name)
            if is_impatient and waiter.try_claim():
                ends.append(name)

        def take() -> None:
            while (call := queue.take()) is not None:
                ends.append(call.name)  # type: ignore[attr-defined]

        def serve() -> None:
            for _ in range(3):
                take()

        scheduler.run(
            lambda: queue_up("a", is_impatient=True),
            lambda: queue_up("b", is_impatient=False),
            serve,
        )
        take()
        assert sorted(ends) == ["a", "b"]
        assert len(queue) == 0

    return explore(scenario, max_preemptions=max_preemptions)


def test_every_schedule_of_two_producers_and_a_taker() -> None:
    assert check(TracedQueue, 2) > 100


def test_mutant_that_does_not_look_again_is_found() -> None:
    with pytest.raises(ScheduleFailure):
        check(NeverLooksAgain, 2)
