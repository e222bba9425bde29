"""TimerHeap, by a fake clock."""

from __future__ import annotations

import pytest

from pybrpc.testing.step_dispatcher import FakeClock
from pybrpc.transport.dispatch import timers
from pybrpc.transport.dispatch.timers import Timer, TimerHeap

LONGEST_S = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(timers, "monotonic", clock.monotonic)
    return clock


def heap_of(*deadlines: float) -> tuple[TimerHeap, list[Timer]]:
    """A heap, and its timers, whose functions are told apart by their defaults."""
    heap = TimerHeap()
    made = [Timer(deadline, lambda index=index: index) for index, deadline in enumerate(deadlines)]
    for timer in made:
        heap.add(timer)
    return heap, made


def pop_all(heap: TimerHeap, now: float) -> list[object]:
    popped: list[object] = []
    while (function := heap.pop_due(now)) is not None:
        popped.append(function())
    return popped


def test_due_timers_come_by_deadline_and_then_in_the_order_of_making() -> None:
    heap, _ = heap_of(3.0, 1.0, 2.0, 1.0)
    assert pop_all(heap, 2.0) == [1, 3, 2]
    assert len(heap) == 1
    assert pop_all(heap, 3.0) == [0]
    assert len(heap) == 0


def test_cancelled_timer_is_never_due() -> None:
    heap, made = heap_of(1.0, 2.0, 3.0)
    made[0].cancel()
    made[2].cancel()
    assert pop_all(heap, 10.0) == [1]
    assert len(heap) == 0


def test_seconds_to_next_are_between_zero_and_the_longest(clock: FakeClock) -> None:
    assert TimerHeap().seconds_to_next(LONGEST_S) == LONGEST_S
    for left_s, expected in ((-1.0, 0.0), (0.0, 0.0), (5.0, 5.0), (LONGEST_S + 1, LONGEST_S)):
        heap, _ = heap_of(clock.now_s + left_s)
        assert heap.seconds_to_next(LONGEST_S) == expected


def test_seconds_to_next_passes_over_cancelled_timers(clock: FakeClock) -> None:
    heap, made = heap_of(clock.now_s + 1, clock.now_s + 2, clock.now_s + 3)
    made[0].cancel()
    made[1].cancel()
    assert heap.seconds_to_next(LONGEST_S) == 3.0
    made[2].cancel()
    assert heap.seconds_to_next(LONGEST_S) == LONGEST_S
    assert len(heap) == 0
