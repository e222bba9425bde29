"""acquire_until: deadlines, and signals to the main thread."""

from __future__ import annotations

import signal
import sys
import threading
import time

import pytest

from pybrpc.base import waiting
from pybrpc.base.deadline import NEVER, deadline_after
from pybrpc.base.waiting import acquire_until


@pytest.mark.parametrize("timeout_s", [None, 1e9, 1e300])
def test_free_lock_is_acquired_however_long_one_would_wait(timeout_s: float | None) -> None:
    assert acquire_until(threading.Lock(), deadline_after(timeout_s))


def test_held_lock_is_not_acquired_after_the_deadline() -> None:
    lock = threading.Lock()
    lock.acquire()
    assert not acquire_until(lock, time.monotonic() - 1)


def test_main_thread_waits_on_after_it_woke_up_for_signals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "MAIN_THREAD_WAIT_S", 0.001)
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


def test_main_thread_does_not_wait_while_python_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other thread runs any more, so nobody would release the lock."""
    monkeypatch.setattr(waiting, "MAIN_THREAD_WAIT_S", 0.001)
    monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    lock = threading.Lock()
    lock.acquire()
    assert not acquire_until(lock, NEVER)


def test_lock_that_gives_up_too_early_is_tried_until_the_deadline() -> None:
    """As when a fake clock has not reached the deadline yet."""

    class EarlyLock:
        tries = 0

        def acquire(self, *, timeout: float) -> bool:
            self.tries += 1
            return self.tries == 4

    assert acquire_until(EarlyLock(), time.monotonic() + 0.2)
