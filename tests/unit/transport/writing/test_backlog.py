from __future__ import annotations

from collections.abc import Callable

import pytest

from pybrpc.base.wake_list import Wake, WakeList
from pybrpc.testing.step_scheduler import (
    ScheduleFailure,
    StepScheduler,
    explore,
    explore_randomly,
)
from pybrpc.transport.socket_options import HIGH_WATER_BYTES
from pybrpc.transport.writing import backlog as module
from pybrpc.transport.writing.backlog import MIN_REQUESTS, Backlog
from pybrpc.transport.writing.process_backlog import ProcessBacklog
from tests.schedules.traced import TracedCounter

_is_overcrowded = Backlog.__dict__["is_overcrowded"]


class TracedBacklog(Backlog):
    """A Backlog that comes to a point before each access to what its threads share."""

    __slots__ = ("scheduler",)

    def __init__(self, scheduler: StepScheduler, high_water: int, low_water: int) -> None:
        self.scheduler: StepScheduler | None = None
        super().__init__(high_water, low_water)
        self.scheduler = scheduler
        self._counted = TracedCounter(scheduler)

    @property
    def is_overcrowded(self) -> bool:  # type: ignore[override]
        if self.scheduler is not None:
            self.scheduler.point("is it overcrowded")
        return bool(_is_overcrowded.__get__(self))

    @is_overcrowded.setter
    def is_overcrowded(self, value: bool) -> None:
        if self.scheduler is not None:
            self.scheduler.point(f"overcrowded = {value}")
        _is_overcrowded.__set__(self, value)


class BelievesTheFirstCount(TracedBacklog):
    """A mutant: does not look at the count again after it has said that it is overcrowded."""

    __slots__ = ()

    def try_add(self, size: int, ignore_limit: bool) -> bool:
        if self.is_overcrowded and not ignore_limit:
            return False
        if (
            self._counted.increment_and_get(size + module._REQUEST) & module._BYTES
            > self.high_water
        ):
            self.is_overcrowded = True
        return True


class WakesBeforeItLetsIn(TracedBacklog):
    """A mutant: a waiter that comes between the two is never woken."""

    __slots__ = ()

    def _clear_if_low(self, counted: int) -> None:
        if counted & module._BYTES <= self.low_water:
            self.wake_all()
            self.is_overcrowded = False


Make = Callable[[StepScheduler, int, int], TracedBacklog]


def crowding(make: Make = TracedBacklog) -> Callable[[StepScheduler], None]:
    """Each of two threads adds over the mark and removes what it added."""

    def scenario(scheduler: StepScheduler) -> None:
        backlog = make(scheduler, 40, 0)

        def add_and_remove() -> None:
            if backlog.try_add(50, False):
                backlog.remove(50, 1)

        scheduler.run(add_and_remove, add_and_remove)
        assert backlog.size_bytes == 0
        assert not backlog.is_overcrowded, "overcrowded though it is empty"

    return scenario


def crowding_a_deaf_peer(make: Make = TracedBacklog) -> Callable[[StepScheduler], None]:
    """One adds while another removes; what was added stays, but it is under the low mark."""

    def scenario(scheduler: StepScheduler) -> None:
        backlog = make(scheduler, 140, 60)
        assert backlog.try_add(100, False)
        scheduler.run(lambda: backlog.try_add(50, False), lambda: backlog.remove(100, 1))
        assert backlog.size_bytes == 50
        assert not backlog.is_overcrowded, "overcrowded though under the low-water mark"

    return scenario


def waiting(make: Make = TracedBacklog) -> Callable[[StepScheduler], None]:
    """One waits for room while another makes it."""

    def scenario(scheduler: StepScheduler) -> None:
        backlog = make(scheduler, 100, 0)
        assert backlog.try_add(200, False)
        woken: list[bool] = []

        def remove() -> None:
            backlog.remove(200, 1)

        scheduler.run(remove, lambda: backlog.on_below_low_water(lambda: woken.append(True)))
        assert woken == [True]

    return scenario


@pytest.mark.slow
@pytest.mark.python_only
def test_backlog_is_never_overcrowded_while_empty_in_any_schedule() -> None:
    assert explore(crowding(), max_schedules=100_000) > 50


@pytest.mark.python_only
def test_backlog_is_never_overcrowded_under_the_low_water_mark_in_any_schedule() -> None:
    assert explore(crowding_a_deaf_peer(), max_schedules=100_000) > 10


@pytest.mark.python_only
def test_no_waiter_is_forgotten_in_any_schedule() -> None:
    assert explore(waiting(), max_schedules=100_000) > 10


@pytest.mark.python_only
def test_random_schedules_of_three_threads() -> None:
    def scenario(scheduler: StepScheduler) -> None:
        backlog = TracedBacklog(scheduler, 300, 100)
        woken: list[int] = []

        def run() -> None:
            for _ in range(5):
                if backlog.try_add(150, False):
                    backlog.remove(150, 1)
                else:
                    backlog.on_below_low_water(lambda: woken.append(1))

        scheduler.run(run, run, run)
        assert backlog.size_bytes == 0
        assert not backlog.is_overcrowded
        assert not backlog._waiters

    explore_randomly(scenario, range(200))


@pytest.mark.python_only
@pytest.mark.parametrize(
    ("scenario", "mutant"),
    [(crowding_a_deaf_peer, BelievesTheFirstCount), (waiting, WakesBeforeItLetsIn)],
)
def test_mutant_is_caught(
    scenario: Callable[[Make], Callable[[StepScheduler], None]], mutant: type[TracedBacklog]
) -> None:
    with pytest.raises(ScheduleFailure):
        explore(scenario(mutant), max_schedules=100_000)


def test_marks_by_default() -> None:
    backlog = Backlog()
    assert (backlog.high_water, backlog.low_water) == (HIGH_WATER_BYTES, HIGH_WATER_BYTES // 2)


def test_refuses_above_high_water_until_low_water() -> None:
    backlog = Backlog(1000, 400)
    size = 300
    assert [backlog.try_add(size, False) for _ in range(5)] == [True, True, True, True, False]
    assert backlog.size_bytes == 1200
    backlog.remove(2 * size, 2)
    assert not backlog.try_add(1, False)
    backlog.remove(size, 1)
    assert backlog.try_add(1, False)


def test_message_that_crosses_the_mark_is_accepted_and_the_next_refused() -> None:
    backlog = Backlog(1000)
    assert backlog.try_add(1 << 30, False)
    assert not backlog.try_add(0, False)
    assert backlog.try_add(0, True)


def test_correction_counts() -> None:
    backlog = Backlog(1000)
    backlog.try_add(0, False)
    backlog.correct(5000)
    assert backlog.size_bytes == 5000
    backlog.remove(5000, 1)
    assert backlog.size_bytes == 0


def test_requests_are_limited_however_short_they_are() -> None:
    backlog = Backlog(1 << 18)
    assert backlog.max_requests == MIN_REQUESTS
    assert all(backlog.try_add(0, False) for _ in range(MIN_REQUESTS + 1))
    assert (backlog.size_bytes, backlog.requests) == (0, MIN_REQUESTS + 1)
    assert not backlog.try_add(0, False)
    backlog.remove(0, MIN_REQUESTS // 2)
    assert not backlog.try_add(0, False)
    backlog.remove(0, 1)
    assert backlog.try_add(0, False)


def test_backlog_accepts_a_quarter_of_a_million_requests_by_default() -> None:
    assert Backlog().max_requests == HIGH_WATER_BYTES // 256 == 1 << 18


def test_waiter_is_woken_once_when_there_is_room() -> None:
    backlog = Backlog(100, 0)
    backlog.try_add(200, False)
    woken: list[str] = []
    forgotten = woken.append
    backlog.on_below_low_water(lambda: woken.append("first"))
    backlog.on_below_low_water(forgotten)  # type: ignore[arg-type]
    backlog.forget(forgotten)  # type: ignore[arg-type]
    backlog.forget(forgotten)  # type: ignore[arg-type]
    assert woken == []
    backlog.remove(200, 1)
    assert woken == ["first"]
    backlog.on_below_low_water(lambda: woken.append("at once"))
    assert woken == ["first", "at once"]
    assert "0 of 100 bytes" in repr(backlog)


def rejected_by_a_full_process() -> tuple[Backlog, Backlog, ProcessBacklog]:
    """A backlog whose last message was refused because another one fills the process."""
    process = ProcessBacklog(1000, chunk_bytes=100)
    full, waiting = Backlog(10_000, process=process), Backlog(10_000, process=process)
    assert full.try_add(2000, True)
    assert not waiting.try_add(200, False)
    assert waiting.refuses_writes()
    return full, waiting, process


@pytest.mark.python_only
def test_waiters_for_the_process_leave_nothing_when_they_give_up() -> None:
    full, waiting, process = rejected_by_a_full_process()
    woken: list[str] = []
    for _ in range(3):
        gives_up: Callable[[], None] = lambda: woken.append("gave up")  # noqa: E731
        stays: Callable[[], None] = lambda: woken.append("stays")  # noqa: E731
        for wake in (gives_up, stays):
            waiting.when_writable(wake)
        waiting.forget(gives_up)
    assert len(process._waiters) == 1
    waiting.forget(stays)
    full.remove(2000, 1)
    assert woken == ["stays", "stays"]
    assert len(process._waiters) == 0


@pytest.mark.python_only
def test_backlog_that_nobody_waits_for_is_not_kept_by_the_process() -> None:
    full, waiting, process = rejected_by_a_full_process()
    waiting.when_writable(print)
    waiting.forget(print)
    assert len(process._waiters) == 0
    waiting.when_writable(print)
    waiting.close()
    assert len(process._waiters) == 0
    full.remove(2000, 1)


@pytest.mark.python_only
def test_waiter_is_woken_though_another_one_gives_up_in_any_schedule() -> None:
    def scenario(scheduler: StepScheduler) -> None:
        full, waiting, process = rejected_by_a_full_process()
        process._waiters = TracedWakeList(scheduler)  # type: ignore[assignment]
        waiting._waiters = TracedWakeList(scheduler)  # type: ignore[assignment]
        woken: list[str] = []

        def give_up() -> None:
            waiting.when_writable(print)
            waiting.forget(print)

        scheduler.run(give_up, lambda: waiting.when_writable(lambda: woken.append("woken")))
        full.remove(2000, 1)
        assert woken == ["woken"]
        assert len(process._waiters) == len(waiting._waiters) == 0

    assert explore(scenario, max_schedules=100_000) > 20


class TracedWakeList(WakeList):
    """One whose accesses are points of a schedule."""

    def __init__(self, scheduler: StepScheduler) -> None:
        super().__init__()
        self._scheduler = scheduler

    def add(self, wake: Wake) -> None:
        self._scheduler.point("add")
        super().add(wake)

    def discard(self, wake: Wake) -> None:
        self._scheduler.point("discard")
        super().discard(wake)

    def __len__(self) -> int:
        if self._scheduler.running >= 0:
            self._scheduler.point("look")
        return super().__len__()


def test_marks_can_be_lowered_and_never_raised() -> None:
    backlog = Backlog(1_000_000)
    backlog.lower_marks(600_000)
    assert (backlog.high_water, backlog.low_water) == (600_000, 300_000)
    assert backlog.max_requests == 600_000 // 256
    backlog.lower_marks(900_000)
    assert backlog.high_water == 600_000
    assert backlog.try_add(600_001, False), "the message that crosses the mark"
    assert not backlog.try_add(1, False)
    backlog.remove(300_001, 0)
    assert backlog.try_add(1, False)


def test_low_mark_that_is_lower_already_stays() -> None:
    backlog = Backlog(1_000_000, 10_000)
    backlog.lower_marks(600_000)
    assert (backlog.high_water, backlog.low_water) == (600_000, 10_000)
