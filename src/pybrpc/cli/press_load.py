"""Load: calls at a fixed rate, or as fast as they end, in one asyncio loop; and its figures."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from pybrpc.errors import RpcError
from pybrpc.metrics.histogram import Histogram
from pybrpc.metrics.percentile import Percentile

PAUSE_AFTER_ERROR_S = 0.01
"""As rpc_press: a server that refuses all calls is not called without an end."""

STARTS_PER_TURN = 64
"""Calls that are begun before the loop may do other things."""

MAX_PAUSE_S = 3600.0
"""The next call may be due in more seconds than a timer takes."""

MAX_ERRORS = 100
"""Kinds of errors that are told apart."""

Request = TypeVar("Request")


@dataclass(slots=True)
class Figures:
    """The calls that have ended so far."""

    ended: int = 0
    failed: int = 0
    in_time: int = 0
    """Those that had ended when the time was over, or when there was no request left."""
    max_us: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    """How many calls ended with each error, by its name."""
    texts: dict[str, str] = field(default_factory=dict)
    """The text of the first error of each name."""
    latencies: Histogram = field(default_factory=Histogram)
    """Microseconds of the calls that did not fail."""
    seconds: float = 0.0
    """Until the time was over; until the last call ended, if there was no request left before."""


class Load(Generic[Request]):
    """Calls `begin` with one of `requests` after the other, until there is none left.

    qps          calls a second; 0: each call that ends begins the next one
    concurrency  calls that run at once, at most. At a fixed rate, calls that are due wait until one
                 has ended, and their latency counts from the time at which they were due
    duration_s   seconds in which calls are begun; `inf`: no limit

    An error of `requests` is raised by `run`, when the calls that run have ended.
    """

    def __init__(
        self,
        begin: Callable[[Request], asyncio.Future[Any]],
        requests: Iterator[Request],
        *,
        qps: float,
        concurrency: int,
        duration_s: float,
    ) -> None:
        self._begin = begin
        self._requests = requests
        self._qps = qps
        self._concurrency = concurrency
        self._duration_s = duration_s
        self._figures = Figures()
        self._latencies = Percentile()
        self._running = 0
        self._is_over = False
        """No more calls are begun."""
        self._is_counted = False
        """The time of the figures is over."""
        self._failure: Exception | None = None
        """The error of `requests`."""
        self._changed = asyncio.Event()
        """A call has ended. Replaced by nothing: cleared before each wait."""
        self._paused: asyncio.Future[None] | None = None
        """The end of the wait for the next call that is due."""
        self._started = 0.0

    @property
    def running(self) -> int:
        """Calls that have begun and not ended."""
        return self._running

    def figures(self) -> Figures:
        """All figures so far."""
        found = self._figures
        found.latencies = self._latencies.get_value()
        found.seconds = min(time.perf_counter() - self._started, self._duration_s)
        return found

    def stop(self) -> None:
        """Begin no more calls, and count no more calls as in time."""
        if not self._is_counted:
            self._is_counted = True
            self._duration_s = min(self._duration_s, time.perf_counter() - self._started)
            self._figures.in_time = self._figures.ended
            self._begin_no_more()

    def _begin_no_more(self) -> None:
        self._is_over = True
        self._changed.set()
        self._resume()

    async def run(self) -> None:
        """Begin calls until the time is over, and wait for the last one of them."""
        self._started = time.perf_counter()
        timer = None
        if self._duration_s < math.inf:
            timer = asyncio.get_running_loop().call_later(self._duration_s, self.stop)
        try:
            if self._qps > 0:
                await self._run_at_rate()
            else:
                for begun in range(1, self._concurrency + 1):
                    if self._is_over:
                        break
                    self._start(time.perf_counter())
                    if begun % STARTS_PER_TURN == 0:
                        await asyncio.sleep(0)
            while self._running or not self._is_over:
                await self._wait_changed()
        finally:
            self.stop()
            if timer is not None:
                timer.cancel()
        if self._failure is not None:
            raise self._failure

    async def _run_at_rate(self) -> None:
        begun = 0
        while not self._is_over:
            now = time.perf_counter()
            due = self._started + begun / self._qps
            if due > now:
                await self._pause(min(due - now, MAX_PAUSE_S))
            elif self._running >= self._concurrency:
                await self._wait_changed()
            else:
                self._start(due)
                begun += 1
                if begun % STARTS_PER_TURN == 0:
                    await asyncio.sleep(0)

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until `stop`."""
        loop = asyncio.get_running_loop()
        self._paused = loop.create_future()
        timer = loop.call_later(seconds, self._resume)
        try:
            await self._paused
        finally:
            timer.cancel()

    def _resume(self) -> None:
        if self._paused is not None and not self._paused.done():
            self._paused.set_result(None)

    async def _wait_changed(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _start(self, due: float) -> None:
        """Begin a call that was due at that time."""
        try:
            request = next(self._requests)
        except StopIteration:
            self._begin_no_more()
            return
        except Exception as error:
            self._failure = error
            self.stop()
            return
        self._running += 1
        try:
            future = self._begin(request)
        except Exception as error:
            self._note_end(due, error)
            return
        future.add_done_callback(partial(self._on_done, due))

    def _on_done(self, due: float, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            self._note_end(due, asyncio.CancelledError())
        else:
            self._note_end(due, future.exception())

    def _note_end(self, due: float, error: BaseException | None) -> None:
        now = time.perf_counter()
        figures = self._figures
        self._running -= 1
        figures.ended += 1
        if error is None:
            latency_us = int((now - due) * 1e6)
            self._latencies.record(latency_us)
            figures.max_us = max(figures.max_us, latency_us)
        else:
            self._note_error(error)
        self._changed.set()
        if self._qps > 0 or self._is_over:
            return
        if error is None:
            self._start(now)
        else:
            self._running += 1  # the call that is to come
            asyncio.get_running_loop().call_later(PAUSE_AFTER_ERROR_S, self._start_again)

    def _start_again(self) -> None:
        self._running -= 1
        if self._is_over:
            self._changed.set()
        else:
            self._start(time.perf_counter())

    def _note_error(self, error: BaseException) -> None:
        figures = self._figures
        figures.failed += 1
        name = error.name if isinstance(error, RpcError) else type(error).__name__
        if name not in figures.errors and len(figures.errors) >= MAX_ERRORS:
            name = "others"
        figures.errors[name] = figures.errors.get(name, 0) + 1
        figures.texts.setdefault(name, str(error))
