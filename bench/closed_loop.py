"""Keeps a fixed number of calls in flight for a while and counts the answers.

Each caller adds to a counter of its own. The rate is the difference of two readings of the clock
and of all counters, so neither the start nor the end of the run is in it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Awaitable, Callable

from bench.loads import MESSAGE


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """How long to call before the measurement, and how long to measure; seconds."""

    warm_up_s: float
    measure_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """The clock and the sum of the counters at one moment."""

    at_s: float
    calls: int

    @classmethod
    def take(cls, counters: list[int]) -> Reading:
        return cls(time.perf_counter(), sum(counters))

    def rate_since(self, before: Reading) -> float:
        """Calls per second between `before` and this."""
        return (self.calls - before.calls) / (self.at_s - before.at_s)


class CallersFailedError(RuntimeError):
    """A call failed; the cause says how."""


class Callers:
    """Counters and the end of callers that are threads or callbacks."""

    def __init__(self, in_flight: int) -> None:
        self.counters = [0] * in_flight
        self.stop = threading.Event()
        self._first_error: Exception | None = None

    def failed(self, error: Exception) -> None:
        self._first_error = self._first_error or error
        self.stop.set()

    def measure(self, window: Window) -> float:
        """Let them call for `window`, then ask them to stop; calls per second."""
        self.stop.wait(window.warm_up_s)
        before = Reading.take(self.counters)
        self.stop.wait(window.measure_s)
        after = Reading.take(self.counters)
        self.stop.set()
        return after.rate_since(before)

    def check(self) -> None:
        if self._first_error is not None:
            raise CallersFailedError("a call failed") from self._first_error


def check_answer(answer: str) -> None:
    if answer != MESSAGE:
        raise ValueError(f"the echo of {MESSAGE!r} was {answer!r}")


def run_threads(call: Callable[[], str], in_flight: int, window: Window) -> float:
    """Calls per second of `in_flight` threads that call `call` over and over."""
    callers = Callers(in_flight)

    def work(index: int) -> None:
        try:
            while not callers.stop.is_set():
                call()
                callers.counters[index] += 1
        except Exception as error:
            callers.failed(error)

    check_answer(call())
    threads = [threading.Thread(target=work, args=(index,)) for index in range(in_flight)]
    for thread in threads:
        thread.start()
    rate = callers.measure(window)
    for thread in threads:
        thread.join()
    callers.check()
    return rate


OnAnswer = Callable[[Exception | None], None]


def run_callbacks(start: Callable[[OnAnswer], None], in_flight: int, window: Window) -> float:
    """Calls per second when each answer starts the next call.

    `start(on_answer)` starts a call and returns; `on_answer(error_or_none)` is called once, in
    any thread, when it has ended.
    """
    callers = Callers(in_flight)
    ended = threading.Semaphore(0)

    def make_on_answer(index: int) -> OnAnswer:
        def on_answer(error: Exception | None) -> None:
            if error is not None:
                callers.failed(error)
            callers.counters[index] += 1
            if callers.stop.is_set():
                ended.release()
            else:
                start(on_answer)

        return on_answer

    for index in range(in_flight):
        start(make_on_answer(index))
    rate = callers.measure(window)
    for _ in range(in_flight):
        ended.acquire()
    callers.check()
    return rate


async def run_tasks(call: Callable[[], Awaitable[str]], in_flight: int, window: Window) -> float:
    """Calls per second of `in_flight` tasks that await `call()` over and over."""
    counters = [0] * in_flight
    stopping = False

    async def work(index: int) -> None:
        while not stopping:
            await call()
            counters[index] += 1

    check_answer(await call())
    async with asyncio.TaskGroup() as callers:
        for index in range(in_flight):
            callers.create_task(work(index))
        await asyncio.sleep(window.warm_up_s)
        before = Reading.take(counters)
        await asyncio.sleep(window.measure_s)
        after = Reading.take(counters)
        stopping = True
    return after.rate_since(before)
