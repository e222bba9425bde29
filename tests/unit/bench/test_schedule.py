"""A fixed rate: what counts as late, and that waiting to be sent counts."""

from __future__ import annotations

import pytest

from bench.schedule import CannotKeepUpError, Schedule, percentile
from bench.work import FixedRate, Window

WINDOW = Window(warm_up_s=0.01, measure_s=0.1)


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def started(rate: FixedRate) -> tuple[Schedule, Clock]:
    clock = Clock()
    schedule = Schedule(rate, WINDOW, clock)
    schedule.start()
    return schedule, clock


def test_calls_are_due_at_even_times() -> None:
    schedule, clock = started(FixedRate(per_s=1000))
    assert (schedule.first, schedule.length) == (10, 110)
    assert schedule.due_in_s(0) == 0
    clock.now += 0.005
    assert schedule.due_in_s(20) == pytest.approx(0.015)


def test_a_call_that_was_sent_in_time_has_the_latency_of_its_answer() -> None:
    schedule, clock = started(FixedRate(per_s=1000))
    for index in range(schedule.length):
        clock.now = 50.0 + index / 1000
        schedule.note_sent(index)
        clock.now += 0.0004
        schedule.note_answered(index)
    figures = schedule.figures()
    assert figures["p50_us"] == pytest.approx(400)
    assert figures["max_us"] == pytest.approx(400)
    assert figures["late_percent"] == 0


def test_a_client_that_stood_still_owes_the_calls_that_were_due_meanwhile() -> None:
    """No coordinated omission: 50 ms in which nothing was sent are 50 calls that took long."""
    schedule, clock = started(FixedRate(per_s=1000))
    for index in range(schedule.length):
        due = 50.0 + index / 1000
        clock.now = max(due, 50.06) if 10 <= index < 60 else due
        schedule.note_sent(index)
        schedule.note_answered(index)
    figures = schedule.figures()
    assert figures["max_us"] == pytest.approx(50_000)
    assert figures["p90_us"] == pytest.approx(40_000, rel=0.05)
    assert figures["late_percent"] == pytest.approx(49, abs=1)


def test_slow_calls_are_sent_and_left_out() -> None:
    schedule, clock = started(FixedRate(per_s=1000, slow_share=0.2))
    slow = [index for index in range(schedule.length) if schedule.sleep_us(index)]
    assert 5 < len(slow) < 45
    for index in range(schedule.length):
        clock.now = 50.0 + index / 1000 + (0.005 if index in slow else 0.0)
        schedule.note_answered(index)
    assert schedule.figures()["max_us"] == pytest.approx(0, abs=1)


def test_caller_that_cannot_keep_up_gives_up() -> None:
    schedule, clock = started(FixedRate(per_s=1000))
    clock.now += 60
    with pytest.raises(CannotKeepUpError, match="1000 calls a second"):
        schedule.due_in_s(50)


def test_percentiles_are_numbers_that_were_measured() -> None:
    numbers = [float(n) for n in range(1, 101)]
    assert percentile(numbers, 0.5) == 50
    assert percentile(numbers, 0.99) == 99
    assert percentile(numbers, 0.999) == 100
    assert percentile([7.0], 0.5) == 7
