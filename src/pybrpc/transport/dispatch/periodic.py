"""PeriodicTimer: calls a function at intervals, in turns of a dispatcher."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from pybrpc.transport.dispatch.event_dispatcher import (
    DispatcherClosedError,
    EventDispatcher,
    TimerHandle,
)

Check = Callable[[float], "float | None"]
"""Called with the time, in monotonic seconds. Returns the seconds until the next call; `None`: no
more calls."""


class PeriodicTimer:
    """Calls `check` after a delay, then again after the delay that `check` returns.

    The dispatcher logs an error that `check` raises; the calls continue after `retry_s`. On a
    dispatcher that is closed nothing is called any more, and nothing is raised.
    """

    __slots__ = ("_check", "_dispatcher", "_generation", "_retry_s", "_timer")

    def __init__(self, dispatcher: EventDispatcher, check: Check, retry_s: float = 1.0) -> None:
        self._dispatcher = dispatcher
        self._check = check
        self._retry_s = retry_s
        self._timer: TimerHandle | None = None
        self._generation = 0

    def start(self, delay_s: float) -> None:
        """Call `check` in `delay_s` seconds. Any thread, once, or again after `stop`."""
        self._generation += 1
        self._set(time.monotonic() + delay_s, self._generation)

    def stop(self) -> None:
        """Call `check` no more. Any thread; a call that runs just now is not waited for."""
        self._generation += 1
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    @property
    def is_running(self) -> bool:
        """Whether another call is planned."""
        return self._timer is not None

    def _set(self, deadline: float, generation: int) -> None:
        """Plan a call, which is dropped if `start` or `stop` was called after that `generation`."""
        try:
            self._timer = self._dispatcher.call_at(
                deadline, functools.partial(self._on_timer, generation)
            )
        except DispatcherClosedError:
            self._timer = None

    def _on_timer(self, generation: int) -> None:
        if generation != self._generation:
            return
        self._timer = None
        now = time.monotonic()
        delay_s: float | None = self._retry_s
        try:
            delay_s = self._check(now)
        finally:
            if delay_s is not None and generation == self._generation:
                self._set(now + delay_s, generation)

    def __repr__(self) -> str:
        return f"<PeriodicTimer of {self._check!r}, {'running' if self.is_running else 'stopped'}>"
