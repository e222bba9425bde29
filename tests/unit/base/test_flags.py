"""WakeSignal and OnceFlag."""

from __future__ import annotations

import threading
import time

import pytest

from pybrpc.base.deadline import NEVER
from pybrpc.base.flags import OnceFlag, WakeSignal


def test_signal_set_before_the_wait_is_kept() -> None:
    signal = WakeSignal()
    signal.set()
    assert signal.wait()


def test_signals_set_twice_before_a_wait_count_as_one() -> None:
    signal = WakeSignal()
    signal.set()
    signal.set()
    assert signal.wait(0)
    assert not signal.wait(0)


def test_wait_without_a_signal_ends_at_its_limit() -> None:
    signal = WakeSignal()
    assert not signal.wait(0.001)
    assert not signal.wait_until(time.monotonic() + 0.001)


@pytest.mark.parametrize("waits", ["wait", "wait_until"])
def test_signal_wakes_a_thread_that_waits(waits: str) -> None:
    signal = WakeSignal()
    found: list[bool] = []
    wait = signal.wait if waits == "wait" else lambda: signal.wait_until(NEVER)
    thread = threading.Thread(target=lambda: found.append(wait()))
    thread.start()
    signal.set()
    thread.join()
    assert found == [True]


def test_signal_says_whether_it_is_set() -> None:
    signal = WakeSignal()
    assert (signal.is_set(), repr(signal)) == (False, "<WakeSignal not set>")
    signal.set()
    assert (signal.is_set(), repr(signal)) == (True, "<WakeSignal set>")


def test_flag_is_set_by_one_of_many_threads() -> None:
    flag = OnceFlag()
    winners: list[bool] = []
    threads = [threading.Thread(target=lambda: winners.append(flag.try_set())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(winners) == [False] * 7 + [True]


def test_cleared_flag_may_be_set_once_more() -> None:
    flag = OnceFlag()
    assert flag.try_set()
    flag.clear()
    assert (flag.is_set(), repr(flag)) == (False, "<OnceFlag not set>")
    assert flag.try_set()
    assert (flag.is_set(), repr(flag)) == (True, "<OnceFlag set>")


def test_flag_that_is_not_set_cannot_be_cleared() -> None:
    with pytest.raises(RuntimeError):
        OnceFlag().clear()
