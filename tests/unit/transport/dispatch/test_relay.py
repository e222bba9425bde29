"""Relay: when callers relay, when not, and how the wait for them ends."""

from __future__ import annotations

import threading
import time

import pytest

from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.poller_role import ChainedWakeups, PollerRole, Waiter
from pybrpc.transport.dispatch.relay import FEWEST_PAUSED, MOST_PAUSED, Relay
from tests.fakes.threads import WAIT_S, in_threads

THREADS = 6


class Caller:
    """A caller that does not come back."""

    is_gone = False
    is_woken = False

    def wake(self) -> None:
        self.is_woken = True


def stall(relay: Relay) -> None:
    assert relay.begin(2)
    relay.wait([None])


def turns_until_the_next(relay: Relay) -> int:
    turns = 0
    while not relay.begin(2):
        turns += 1
    relay.end()
    return turns


@pytest.mark.parametrize("callers", [0, 1])
def test_one_caller_needs_no_relay(callers: int) -> None:
    relay = Relay()
    assert not relay.begin(callers)
    assert not relay.is_open
    assert not relay.has_begun


def test_relay_in_which_no_caller_comes_back_is_broken_off() -> None:
    relay = Relay()
    stall(relay)
    assert not relay.is_open
    assert not relay.has_begun


def test_after_each_slow_relay_the_pause_is_twice_as_long() -> None:
    relay, pauses = Relay(), []
    for _ in range(12):
        stall(relay)
        pauses.append(turns_until_the_next(relay))
    assert pauses[:3] == [FEWEST_PAUSED, 2 * FEWEST_PAUSED, 4 * FEWEST_PAUSED]
    assert pauses[-1] == MOST_PAUSED


def test_pause_is_short_again_after_a_relay_that_went_well() -> None:
    relay = Relay()
    stall(relay)
    turns_until_the_next(relay)
    relay.wait([])
    stall(relay)
    assert turns_until_the_next(relay) == FEWEST_PAUSED


def test_end_from_another_thread_ends_the_wait() -> None:
    relay = Relay()
    assert relay.begin(2)
    relay.end()
    relay.wait([None])
    assert relay.begin(2), "it did not stall"


def test_end_that_came_late_does_not_end_the_next_wait() -> None:
    relay, chain = Relay(), [1, 2, 3]
    assert relay.begin(2)
    relay.end()  # its signal is left
    relay.wait([])
    assert relay.begin(4)
    relay.wait(chain)
    assert not relay.begin(2), "it stalled"


def test_no_relay_begins_while_there_is_background_work() -> None:
    role = PollerRole()
    for _ in range(3):
        role.chain.add(Caller())
    role.require_polling()
    role.wake_callers(True)
    assert not role.relay.is_open
    role.release_polling()
    role.wake_callers(True)
    assert role.relay.is_open


def test_turn_that_may_not_relay_wakes_the_first_caller() -> None:
    role, callers = PollerRole(), [Caller() for _ in range(3)]
    for caller in callers:
        role.chain.add(caller)
    role.wake_callers(False)
    assert [caller.is_woken for caller in callers] == [True, False, False]
    assert not role.relay.is_open


def test_caller_that_does_not_come_back_delays_the_next_one_only_briefly() -> None:
    role, callers = PollerRole(), [Caller() for _ in range(3)]
    for caller in callers:
        role.chain.add(caller)
    role.wake_callers(True)
    assert role.relay.is_open
    role.wait_for_relay()
    assert [caller.is_woken for caller in callers] == [True, True, False]


def test_caller_that_comes_back_wakes_the_next_one() -> None:
    role, callers, waiter = PollerRole(), [Caller() for _ in range(3)], Waiter()
    for caller in callers:
        role.chain.add(caller)
    role.wake_callers(True)
    role.register(waiter)
    assert not waiter.sleep(time.monotonic() - 1)
    assert [caller.is_woken for caller in callers] == [True, True, False]


def test_last_caller_ends_the_relay_when_it_runs() -> None:
    role, waiters = PollerRole(), [Waiter(), Waiter()]
    for waiter in waiters:
        role.register(waiter)
        role.chain.add(waiter)
    role.wake_callers(True)
    role.forget(waiters[0])
    assert role.relay.is_open, "the next one is woken when this one comes back"
    assert role.chain.take_signal() is None, "it has not slept"
    role.forget(waiters[1])
    assert not role.relay.is_open


def test_signal_of_a_caller_that_is_gone_is_not_taken() -> None:
    chain, gone, last = ChainedWakeups(), Waiter(), Caller()
    gone.is_gone = True
    chain.add(gone)
    chain.add(last)
    assert chain.take_signal() is None
    assert last.is_woken


@pytest.mark.parametrize("pause_s", [0.0, 0.001])
def test_callers_are_all_served_however_soon_they_come_back(
    epoll: EpollDispatcher, pause_s: float
) -> None:
    """Each turn ends all waits; some callers come back at once, some later, some never."""
    waiting: list[Waiter] = []
    left = [THREADS]

    def end() -> None:
        waiters, waiting[:] = waiting[:], []
        for waiter in waiters:
            waiter.end()
        if left[0]:
            epoll.call_at(time.monotonic() + 0.0005, end)

    def run(index: int) -> None:
        for _ in range(100 - 10 * index):
            waiter = Waiter()
            waiting.append(waiter)
            if index % 3 == 2:
                epoll.wait(waiter, time.monotonic() + 0.0005)
            else:
                assert epoll.wait(waiter, time.monotonic() + WAIT_S)
            if index % 2:
                time.sleep(pause_s)
        left[0] -= 1

    epoll.post(end)
    in_threads(THREADS, run)
    assert not epoll._role.has_waiters()


def test_relay_of_many_ends_within_its_limit() -> None:
    """Each caller comes back, but there are always more."""
    relay = Relay()
    chain = list(range(10**6))
    stop = threading.Event()

    def return_on() -> None:
        while not stop.is_set():
            chain.pop()

    thread = threading.Thread(target=return_on)
    thread.start()
    assert relay.begin(2)
    relay.wait(chain)
    stop.set()
    thread.join()
    assert not relay.is_open
