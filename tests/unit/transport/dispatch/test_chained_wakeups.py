"""ChainedWakeups: callers are woken one after the other, and none is forgotten."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import pytest

from pybrpc.base.deadline import NEVER
from pybrpc.testing.step_scheduler import ScheduleFailure, StepScheduler, explore_randomly
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.poller_role import NO_THREAD, ChainedWakeups, PollerRole, Waiter
from tests.fakes.threads import WAIT_S, in_threads
from tests.schedules.dispatchers import TracedWaiter

THREADS = 12


def end_in_one_turn(dispatcher: EpollDispatcher, waiters: list[Waiter]) -> None:
    """Once all of them are waited for."""

    def end() -> None:
        if len(dispatcher._role._waiters) < len(waiters):
            dispatcher.call_at(time.monotonic() + 0.001, end)
            return
        for waiter in waiters:
            waiter.end()

    dispatcher.post(end)


def test_all_callers_served_by_one_turn_are_woken(epoll: EpollDispatcher) -> None:
    waiters = [Waiter() for _ in range(THREADS)]

    def run(index: int) -> None:
        if index == THREADS:
            end_in_one_turn(epoll, waiters)
        else:
            assert epoll.wait(waiters[index], NEVER)

    in_threads(THREADS + 1, run)
    assert len(epoll._role.chain) == 0


def test_slow_caller_delays_no_other(epoll: EpollDispatcher) -> None:
    """It does not return before all others have been woken."""
    waiters = [Waiter() for _ in range(THREADS)]
    others_are_awake = threading.Event()
    awake: deque[int] = deque()

    def run(index: int) -> None:
        if index == THREADS:
            end_in_one_turn(epoll, waiters)
            return
        assert epoll.wait(waiters[index], NEVER)
        awake.append(index)
        if len(awake) == THREADS:
            others_are_awake.set()
        assert others_are_awake.wait(WAIT_S)

    in_threads(THREADS + 1, run)


def test_passed_deadlines_do_not_break_the_chain(epoll: EpollDispatcher) -> None:
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


def test_thread_that_died_in_the_chain_delays_others_only_briefly(epoll: EpollDispatcher) -> None:
    waiter = Waiter()

    def end() -> None:
        if not epoll._role.has_waiters():
            epoll.call_at(time.monotonic() + 0.001, end)
            return
        epoll._role.chain.add(Dead())
        waiter.end()

    epoll.require_polling()  # so that the waiter does not poll
    epoll.post(end)
    over: list[bool] = []
    in_threads(1, lambda _: over.append(epoll.wait(waiter, time.monotonic() + WAIT_S)))
    assert over == [True]
    epoll.release_polling()


# --- schedules ---


def a_turn_and_its_callers(
    scheduler: StepScheduler,
    kind: type[PollerRole] = PollerRole,
    chain_kind: type[ChainedWakeups] = ChainedWakeups,
) -> None:
    """Two callers sleep until they are woken; one between them gives up at any time."""
    role = kind()
    role.chain = chain_kind()
    callers = [TracedWaiter(scheduler, name) for name in "abc"]
    for caller in callers:
        role.register(caller)

    def turn() -> None:
        role.resume()
        for caller in callers:
            caller.end()
        role.pause()

    def sleep(caller: TracedWaiter) -> None:
        assert caller.sleep(NEVER)
        role.forget(caller)

    first, hasty, last = callers
    scheduler.run(turn, lambda: sleep(first), lambda: role.forget(hasty), lambda: sleep(last))
    assert len(role.chain) == 0


@pytest.mark.slow
@pytest.mark.python_only
def test_no_caller_sleeps_on_in_thousands_of_schedules() -> None:
    explore_randomly(a_turn_and_its_callers, range(2000))


class IsGoneTooLate(PollerRole):
    """A mutant: a caller wakes the next one, and only then says that it is gone."""

    def forget(self, waiter: Waiter) -> None:
        self.chain.wake_next()
        waiter.is_gone = True


class WakesNoOther(PollerRole):
    """A mutant: a caller that was woken wakes no other."""

    def forget(self, waiter: Waiter) -> None:
        waiter.is_gone = True


class PausesInSilence(PollerRole):
    """A mutant: the end of a turn wakes no caller."""

    def pause(self) -> None:
        self.polling_thread = NO_THREAD


class WakesOnlyTheGone(ChainedWakeups):
    """A mutant: after a caller that is gone, no other is woken."""

    def wake_next(self) -> None:
        if self._callers:
            self._callers.popleft().wake()


@pytest.mark.python_only
@pytest.mark.parametrize(
    ("role", "chain"),
    [
        (IsGoneTooLate, ChainedWakeups),
        (WakesNoOther, ChainedWakeups),
        (PausesInSilence, ChainedWakeups),
        (PollerRole, WakesOnlyTheGone),
    ],
)
def test_mutant_is_caught(role: type[PollerRole], chain: type[ChainedWakeups]) -> None:
    with pytest.raises(ScheduleFailure, match="every thread waits"):
        explore_randomly(lambda run: a_turn_and_its_callers(run, role, chain), range(1000))


class EmptiedMeanwhile(deque[Any]):
    """A chain from which another thread takes the last caller just before `popleft`."""

    def popleft(self) -> Any:
        self.clear()
        return super().popleft()


@pytest.mark.python_only
def test_chain_emptied_by_another_thread_meanwhile_is_no_error() -> None:
    chain = ChainedWakeups()
    chain._callers = EmptiedMeanwhile([object()])
    chain.wake_next()
    assert len(chain) == 0
