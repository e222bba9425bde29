"""WakeSignal and OnceFlag."""

from __future__ import annotations

import signal
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


def test_signal_sets_another_one_and_waits() -> None:
    mine, other = WakeSignal(), WakeSignal()
    assert not mine.set_other_and_wait(other, time.monotonic() - 1)
    assert other.is_set()
    assert not mine.set_other_and_wait(other, time.monotonic() + 0.001), "it was set already"
    assert other.wait(0)
    assert not other.wait(0)
    mine.set()
    assert mine.set_other_and_wait(None, NEVER)


def test_signals_hand_over_to_and_fro() -> None:
    ping, pong, rounds = WakeSignal(), WakeSignal(), 1000
    answers: list[bool] = []

    def answer() -> None:
        answers.append(pong.wait_until(NEVER))
        for _ in range(rounds):
            answers.append(pong.set_other_and_wait(ping, NEVER))

    thread = threading.Thread(target=answer)
    thread.start()
    assert all(ping.set_other_and_wait(pong, NEVER) for _ in range(rounds))
    pong.set()
    thread.join()
    assert answers == [True] * (rounds + 1)


@pytest.mark.parametrize("waits", ["wait", "wait_until"])
def test_signal_handler_that_raises_ends_the_wait(waits: str) -> None:
    """In the main thread; the signal is not lost by it."""
    mine = WakeSignal()
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        with pytest.raises(KeyboardInterrupt):
            mine.wait() if waits == "wait" else mine.wait_until(NEVER)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    mine.set()
    assert mine.wait(0)


def test_signal_handler_that_returns_does_not_end_the_wait() -> None:
    mine, handled = WakeSignal(), []
    before = signal.signal(signal.SIGALRM, lambda *_: handled.append(time.monotonic()))
    signal.setitimer(signal.ITIMER_REAL, 0.005)
    try:
        ends_at = time.monotonic() + 0.05
        assert not mine.wait(0.05)
        assert time.monotonic() >= ends_at
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(handled) == 1


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
