"""Threads that are woken one after the other: none is forgotten."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import pytest

from pybrpc.base.deadline import NEVER
from pybrpc.testing.step_scheduler import ScheduleFailure, StepScheduler, explore_randomly
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.poller_role import NOBODY, ChainedWakeups, PollerRole, Waiter
from tests.fakes.threads import WAIT_S, in_threads
from tests.schedules.dispatchers import TracedWaiter

THREADS = 12


def end_in_one_turn(dispatcher: EpollDispatcher, waiters: list[Waiter]) -> None:
    """Once all of them are waited for."""

    def end() -> None:
        if len(dispatcher._seat._waiters) < len(waiters):
            dispatcher.call_at(time.monotonic() + 0.001, end)
            return
        for waiter in waiters:
            waiter.end()

    dispatcher.post(end)


def test_all_whom_one_turn_serves_are_woken(epoll: EpollDispatcher) -> None:
    waiters = [Waiter() for _ in range(THREADS)]

    def run(index: int) -> None:
        if index == THREADS:
            end_in_one_turn(epoll, waiters)
        else:
            assert epoll.wait(waiters[index], NEVER)

    in_threads(THREADS + 1, run)
    assert len(epoll._seat.chain) == 0


def test_a_caller_that_is_slow_delays_nobody(epoll: EpollDispatcher) -> None:
    """It does not come back before all others have."""
    waiters = [Waiter() for _ in range(THREADS)]
    others_are_back = threading.Event()
    back: deque[int] = deque()

    def run(index: int) -> None:
        if index == THREADS:
            end_in_one_turn(epoll, waiters)
            return
        assert epoll.wait(waiters[index], NEVER)
        back.append(index)
        if len(back) == THREADS:
            others_are_back.set()
        assert others_are_back.wait(WAIT_S)

    in_threads(THREADS + 1, run)


def test_deadlines_that_pass_break_no_chain(epoll: EpollDispatcher) -> None:
    def run(index: int) -> None:
        for _ in range(200):
            waiter = Waiter()
            epoll.call_at(time.monotonic() + 0.0005, waiter.end)
            if index % 2:
                epoll.wait(waiter, time.monotonic() + 0.0005)
            else:
                assert epoll.wait(waiter, time.monotonic() + WAIT_S)

    in_threads(6, run)


class Dead:
    """A thread that died when it was woken."""

    is_gone = False

    def wake(self) -> None:
        pass


def test_a_thread_that_dies_in_the_chain_holds_up_nobody_for_long(epoll: EpollDispatcher) -> None:
    waiter = Waiter()

    def end() -> None:
        if not epoll._seat.is_waited_at:
            epoll.call_at(time.monotonic() + 0.001, end)
            return
        epoll._seat.chain.add(Dead())
        waiter.end()

    epoll.require_polling()  # so that the waiter does not drive
    epoll.post(end)
    over: list[bool] = []
    in_threads(1, lambda _: over.append(epoll.wait(waiter, time.monotonic() + WAIT_S)))
    assert over == [True]
    epoll.release_polling()


# --- schedules ---


def a_turn_and_its_sleepers(
    scheduler: StepScheduler,
    kind: type[PollerRole] = PollerRole,
    chain_kind: type[ChainedWakeups] = ChainedWakeups,
) -> None:
    """Two sleep until they are woken; between them is one that gives up whenever it likes."""
    seat = kind()
    seat.chain = chain_kind()
    sleepers = [TracedWaiter(scheduler, name) for name in "abc"]
    for sleeper in sleepers:
        seat.register(sleeper)

    def turn() -> None:
        seat.driver = threading.get_ident()
        for sleeper in sleepers:
            sleeper.end()
        seat.stop_driving()

    def sleep(sleeper: TracedWaiter) -> None:
        assert sleeper.sleep(NEVER)
        seat.forget(sleeper)

    first, hasty, last = sleepers
    scheduler.run(turn, lambda: sleep(first), lambda: seat.forget(hasty), lambda: sleep(last))
    assert len(seat.chain) == 0


@pytest.mark.slow
@pytest.mark.python_only
def test_under_thousands_of_schedules_nobody_sleeps_on() -> None:
    explore_randomly(a_turn_and_its_sleepers, range(2000))


class IsGoneTooLate(PollerRole):
    """A mutant: who leaves wakes the next one, and only then says that it is gone."""

    def forget(self, waiter: Waiter) -> None:
        self.chain.wake_next()
        waiter.is_gone = True


class PassesNothingOn(PollerRole):
    """A mutant: who leaves wakes nobody."""

    def forget(self, waiter: Waiter) -> None:
        waiter.is_gone = True


class StopsInSilence(PollerRole):
    """A mutant: the end of a turn wakes nobody."""

    def stop_driving(self) -> None:
        self.driver = NOBODY


class WakesTheGone(ChainedWakeups):
    """A mutant: who wakes one that is gone leaves it at that."""

    def wake_next(self) -> None:
        if self._sleepers:
            self._sleepers.popleft().wake()


@pytest.mark.python_only
@pytest.mark.parametrize(
    ("seat", "chain"),
    [
        (IsGoneTooLate, ChainedWakeups),
        (PassesNothingOn, ChainedWakeups),
        (StopsInSilence, ChainedWakeups),
        (PollerRole, WakesTheGone),
    ],
)
def test_mutants_are_caught(seat: type[PollerRole], chain: type[ChainedWakeups]) -> None:
    with pytest.raises(ScheduleFailure, match="every thread waits"):
        explore_randomly(lambda run: a_turn_and_its_sleepers(run, seat, chain), range(1000))


class EmptiedMeanwhile(deque[Any]):
    """As another thread leaves it that takes the last one between a look and a `popleft`."""

    def popleft(self) -> Any:
        self.clear()
        return super().popleft()


@pytest.mark.python_only
def test_two_who_wake_at_once_do_not_fall_over_each_other() -> None:
    chain = ChainedWakeups()
    chain._sleepers = EmptiedMeanwhile([object()])
    chain.wake_next()
    assert len(chain) == 0
