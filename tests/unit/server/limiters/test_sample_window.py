"""SampleWindow: when a window ends, and which calls are samples."""

from __future__ import annotations

import threading

from pybrpc.server.limiters.sample_window import STUCK_S, Sample, SampleWindow, WindowSize

BRPC = WindowSize(window_s=0.010, min_samples=5, max_samples=10, gap_s=0.0)
"""The sizes in timeout_concurrency_limiter_unittest of bRPC."""


class Full:
    """A window, and the samples of those that have ended."""

    def __init__(self, size: WindowSize = BRPC) -> None:
        self.taken: list[list[Sample]] = []
        self.window = SampleWindow(size, lambda now, samples: self.taken.append(samples))

    def add(self, *times: float, has_failed: bool = False) -> None:
        for now in times:
            self.window.add(100.0 + now, 50e-6, 1, has_failed)


def test_window_with_too_few_samples_is_discarded() -> None:
    """TimeoutConcurrencyLimiterTest.AddSample"""
    full = Full()
    full.add(0.0, 0.001, 0.002)
    assert len(full.window) == 3
    full.add(0.011)
    assert (len(full.window), full.taken) == (0, [])


def test_window_ends_after_its_time_with_five_samples() -> None:
    """TimeoutConcurrencyLimiterTest.AddSample"""
    full = Full()
    full.add(0.0, 0.001, 0.002, 0.003)
    assert full.taken == []
    full.add(0.011)
    assert (len(full.window), full.taken) == (0, [[(50e-6, 1, False)] * 5])


def test_window_ends_at_once_with_ten_samples() -> None:
    """TimeoutConcurrencyLimiterTest.AddSample"""
    full = Full()
    full.add(*[0.001] * 9)
    assert full.taken == []
    full.add(0.001)
    assert (len(full.window), [len(samples) for samples in full.taken]) == (0, [10])


def test_failed_calls_are_told_apart() -> None:
    """TimeoutConcurrencyLimiterTest.AddSample"""
    full = Full()
    full.add(0.0, 0.001, 0.002)
    full.add(0.003, 0.004, 0.011, has_failed=True)
    assert [failed for _, _, failed in full.taken[0]] == [False] * 3 + [True] * 3


def test_calls_that_end_too_soon_after_another_are_dropped() -> None:
    """TimeoutConcurrencyLimiterTest.OnResponded: of four calls two count"""
    full = Full(WindowSize(10.0, 5, 100, gap_s=0.0001))
    full.add(0.0, 0.00005, 0.00012, 0.00017)
    assert len(full.window) == 2


def test_calls_that_end_at_the_same_moment_all_count() -> None:
    full = Full(WindowSize(10.0, 5, 100, gap_s=0.0001))
    full.add(*[0.0] * 4, 0.00005, *[0.001] * 3)
    assert len(full.window) == 7


def test_window_begins_with_its_first_sample() -> None:
    full = Full()
    full.add(0.0, 0.001, 0.002, 0.003, 0.011)
    full.add(50.0, 50.001, 50.002, 50.003)
    assert len(full.taken) == 1
    full.add(50.011)
    assert len(full.taken) == 2


def test_function_may_raise_and_the_next_window_still_ends() -> None:
    calls = 0

    def raise_once(now: float, samples: list[Sample]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise MemoryError

    window = SampleWindow(BRPC, raise_once)
    for number in range(20):
        try:
            window.add(float(number) / 1000, 0.001, 1, False)
        except MemoryError:
            assert number == 9
    assert calls == 2


def test_window_that_a_thread_has_left_locked_ends_later() -> None:
    full = Full()
    full.window._lock.acquire()
    full.add(*[0.001 * number for number in range(11)])
    assert full.taken == []
    late = 0.010 + STUCK_S + 0.001
    full.add(late, late)
    assert [len(samples) for samples in full.taken] == [13]


def test_samples_that_nobody_takes_are_bounded() -> None:
    full = Full()
    full.window._lock.acquire()
    full.add(*[0.001] * 1000)
    assert len(full.window) == 40


def test_each_sample_of_many_threads_is_taken_once() -> None:
    full = Full(WindowSize(1000.0, 5, 10, gap_s=0.0))

    def add(first: int) -> None:
        for number in range(500):
            full.window.add(1.0, float(first + number), 1, False)

    threads = [threading.Thread(target=add, args=(first,)) for first in (0, 1000, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [latency_s for samples in full.taken for latency_s, _, _ in samples]
    assert len(taken) == len(set(taken))
    assert len(taken) >= 1000
