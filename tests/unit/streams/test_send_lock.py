"""SendLock: a lock that its own thread does not wait for."""

from __future__ import annotations

import threading

import pytest

from pybrpc.errors import WouldDeadlockError
from pybrpc.streams.send_lock import SendLock
from tests.fakes.threads import WAIT_S


def test_one_thread_at_a_time() -> None:
    lock = SendLock()
    count = 0

    def add() -> None:
        nonlocal count
        for _ in range(2000):
            with lock:
                before = count
                count = before + 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert count == 8000
    assert repr(lock) == "<SendLock free>"


def test_thread_that_has_it_is_told_that_it_would_wait_for_ever() -> None:
    lock = SendLock()
    with lock:
        assert repr(lock) == "<SendLock held>"
        with pytest.raises(WouldDeadlockError, match="a signal handler, or a destructor, uses"):
            lock.__enter__()
    with lock:
        pass


def test_renewed_lock_is_free() -> None:
    lock = SendLock()
    lock.__enter__()
    lock.renew()
    with lock:
        pass


def test_it_is_free_again_after_an_error() -> None:
    lock = SendLock()
    with pytest.raises(ValueError, match="inside"), lock:
        raise ValueError("inside")
    with lock:
        pass
