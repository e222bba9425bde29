from __future__ import annotations

import asyncio
import signal
import threading
import time

import pytest

from pybrpc.base import waiting
from pybrpc.base.deadline import NEVER, deadline_after
from pybrpc.base.waiting import Wake, acquire_until, block_until_woken, until_woken


class Bell:
    """Something that is waited for: it wakes all who wait, twice."""

    def __init__(self) -> None:
        self.waiting: list[Wake] = []
        self.has_waiter = threading.Event()

    def add(self, wake: Wake) -> None:
        self.waiting.append(wake)
        self.has_waiter.set()

    def ring(self) -> None:
        for wake in list(self.waiting):
            wake()
            wake()

    def ring_when_somebody_waits(self) -> threading.Thread:
        thread = threading.Thread(target=lambda: self.has_waiter.wait(30) and self.ring())
        thread.start()
        return thread


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.mark.parametrize("timeout_s", [None, 1e9, 1e300])
def test_free_lock_is_acquired_however_long_one_would_wait(timeout_s: float | None) -> None:
    assert acquire_until(threading.Lock(), deadline_after(timeout_s))


def test_held_lock_is_not_acquired_after_the_deadline() -> None:
    lock = threading.Lock()
    lock.acquire()
    assert not acquire_until(lock, time.monotonic() - 1)


def test_waiter_sleeps_on_after_a_nap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "NAP_S", 0.001)
    lock = threading.Lock()
    lock.acquire()
    timer = threading.Timer(0.05, lock.release)
    timer.start()
    assert acquire_until(lock, NEVER)
    timer.join()


def test_signal_handler_that_raises_ends_the_wait_of_the_main_thread() -> None:
    lock = threading.Lock()
    lock.acquire()
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        with pytest.raises(KeyboardInterrupt):
            acquire_until(lock, NEVER)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_thread_is_woken_and_taken_off_the_list(bell: Bell) -> None:
    ringer = bell.ring_when_somebody_waits()
    assert block_until_woken(bell.add, bell.waiting.remove, NEVER)
    ringer.join()
    assert bell.waiting == []


def test_thread_that_nobody_wakes_gives_up_at_the_deadline(bell: Bell) -> None:
    assert not block_until_woken(bell.add, bell.waiting.remove, time.monotonic())
    assert bell.waiting == []


def test_task_is_woken_by_another_thread(bell: Bell) -> None:
    ringer = bell.ring_when_somebody_waits()
    asyncio.run(until_woken(bell.add, bell.waiting.remove))
    ringer.join()
    assert bell.waiting == []


def test_canceled_task_is_taken_off_the_list(bell: Bell) -> None:
    async def wait_a_moment() -> None:
        await asyncio.wait_for(until_woken(bell.add, bell.waiting.remove), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(wait_a_moment())
    assert bell.waiting == []
    bell.ring()
