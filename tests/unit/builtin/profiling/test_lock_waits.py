"""Which waits are waits for locks."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pybrpc.base.flags import WakeSignal
from pybrpc.builtin.profiling.lock_waits import LockWaits
from tests.fakes.profiles import thread_in
from tests.fakes.threads import wait_until


class Waits:
    """LockWaits with a clock: each sample is 10 ms after the one before."""

    def __init__(self, cpu_ns: Callable[[int], int | None] = lambda native: 0) -> None:
        self.now_ns = 0
        self.waits = LockWaits(cpu_clock=cpu_ns, clock_ns=lambda: self.now_ns)

    def take(self, times: int = 3) -> None:
        for _ in range(times):
            self.now_ns += 10_000_000
            self.waits.take()

    def of(self, name: str) -> list[tuple[int, ...]]:
        """The values of stacks in threads of that name."""
        samples = self.waits.builder.samples
        return [values for key, values in samples.items() if key.thread == name]


def with_lock(lock: threading.Lock) -> None:
    with lock:
        pass


def acquire(lock: threading.Lock) -> None:
    lock.acquire()
    lock.release()


def is_in(thread: threading.Thread, name: str) -> bool:
    """Whether the innermost function of the thread has that name."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_name == name


def is_calling(thread: threading.Thread) -> bool:
    """Whether the thread remains at one place, which it does once it blocks."""
    places = []
    for _ in range(20):
        frame = sys._current_frames()[thread.ident or 0]
        places.append((id(frame), frame.f_lasti))
        threading.Event().wait(0.001)
    return len(set(places)) == 1


@contextlib.contextmanager
def blocked(
    function: Callable[[], object], innermost: str, let_go: Callable[[], object]
) -> Iterator[None]:
    """A thread named "seen" that blocks in a function whose name is `innermost`."""
    with thread_in(function) as thread:
        try:
            wait_until(lambda: is_in(thread, innermost))
            wait_until(lambda: is_calling(thread))
            yield
        finally:
            let_go()


@pytest.mark.parametrize("function", [with_lock, acquire])
def test_a_thread_that_waits_for_a_lock_is_found(
    function: Callable[[threading.Lock], None],
) -> None:
    lock, waits = threading.Lock(), Waits()
    lock.acquire()
    with blocked(lambda: function(lock), function.__name__, lock.release):
        waits.take(4)
    assert waits.of("seen") == [(1, 30_000_000)]


def test_a_wait_for_a_semaphore_counts() -> None:
    semaphore, waits = threading.Semaphore(0), Waits()
    with blocked(semaphore.acquire, "wait", semaphore.release):
        waits.take(3)
    assert waits.of("seen") == [(1, 20_000_000)]


def test_a_thread_that_waits_for_work_is_left_out() -> None:
    waits = Waits()
    work: queue.Queue[int] = queue.Queue()
    event = threading.Event()
    with blocked(work.get, "wait", lambda: work.put(1)):
        with blocked(event.wait, "wait", event.set):
            waits.take(5)
    assert waits.waits.builder.samples == {}


@pytest.mark.python_only
def test_a_caller_that_waits_for_its_response_is_left_out() -> None:
    waits, signal = Waits(), WakeSignal()
    with blocked(signal.wait, "wait", signal.set):
        waits.take(5)
    assert waits.waits.builder.samples == {}
    far = time.monotonic() + 1000
    with blocked(lambda: signal.wait_until(far), "acquire_until", signal.set):
        waits.take(5)
    assert waits.waits.builder.samples == {}


def test_a_thread_that_acquires_again_and_again_does_not_wait() -> None:
    used_ns = 0

    def works(native_id: int) -> int:
        nonlocal used_ns
        used_ns += 1
        return used_ns

    lock, waits = threading.Lock(), Waits(works)
    lock.acquire()
    with blocked(lambda: acquire(lock), "acquire", lock.release):
        waits.take(5)
    assert waits.of("seen") == []


def test_the_next_wait_of_a_thread_counts_again() -> None:
    lock, waits = threading.Lock(), Waits()
    for _ in range(2):
        lock.acquire()
        with blocked(lambda: acquire(lock), "acquire", lock.release):
            waits.take(3)
        waits.take(1)
    assert waits.of("seen") == [(2, 40_000_000)]
