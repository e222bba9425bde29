"""EmaCircuitBreaker: bRPC's breaker, which weighs errors by the time that they took.

After bRPC's circuit_breaker.cpp, under the names of its flags.
"""

from __future__ import annotations

import dataclasses

from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.client.cluster.breaking.breaker import CircuitBreaker
from pybrpc.client.cluster.breaking.checked_numbers import check_count, check_share
from pybrpc.client.cluster.breaking.server_breaker import ServerBreaker

_EPSILON = 0.02
_CHEAP_US = 500.0
"""Costs below this are forgotten at a success."""
_MAX_LATENCY_FACTOR = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmaCircuitBreaker(CircuitBreaker):
    """Leaves out a server when its errors cost too much time, as bRPC does.

    short_window_size            calls of the short window
    short_window_error_percent   errors in percent of it, if errors take as long as other calls
    long_window_size             calls of the long window
    long_window_error_percent    as for the short one

    Errors that come at once cost nearly nothing, so a server that fails at once serves on.
    """

    short_window_size: int = 1500
    short_window_error_percent: int = 10
    long_window_size: int = 3000
    long_window_error_percent: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("short_window_size", self.short_window_size)
        check_count("long_window_size", self.long_window_size)
        for name in ("short_window_error_percent", "long_window_error_percent"):
            check_count(name, getattr(self, name))
            check_share(f"{name} / 100", getattr(self, name) / 100)

    def new_server_breaker(self) -> EmaWindows:
        return EmaWindows(self)


class EmaWindows(ServerBreaker):
    """The ServerBreaker of an EmaCircuitBreaker: either window may trip."""

    __slots__ = ("_long", "_short")

    def __init__(self, options: EmaCircuitBreaker) -> None:
        self._long = EmaErrorRecorder(
            options.long_window_size, options.long_window_error_percent / 100
        )
        self._short = EmaErrorRecorder(
            options.short_window_size, options.short_window_error_percent / 100
        )

    def note(self, outcome: Outcome, latency_s: float, now: float) -> bool:
        is_error = outcome is Outcome.FAULT
        latency_us = latency_s * 1e6
        is_long_broken = self._long.note(is_error, latency_us)
        return self._short.note(is_error, latency_us) or is_long_broken

    def reset(self, now: float) -> None:
        self._long.reset()
        self._short.reset()


class EmaErrorRecorder:
    """One window. The first calls of it are counted: the average of latencies is not known yet."""

    __slots__ = (
        "_calls",
        "_cost_us",
        "_errors",
        "_latency_us",
        "_max_error_share",
        "_smooth",
        "_window",
    )

    def __init__(self, window: int, max_error_share: float) -> None:
        self._window = window
        self._max_error_share = max_error_share
        self._smooth = _EPSILON ** (1.0 / window)
        self._calls = 0
        """Counted in the first window only."""
        self._errors = 0
        self._cost_us = 0.0
        self._latency_us = 0.0

    def reset(self) -> None:
        """The average of the latencies is kept, once it is one of a whole window."""
        self._cost_us = 0.0
        if self._calls < self._window:
            self._calls = self._errors = 0
            self._latency_us = 0.0

    def note(self, is_error: bool, latency_us: float) -> bool:
        """True if the window has broken."""
        is_too_dear = False
        if is_error:
            is_too_dear = self._note_error(latency_us)
        else:
            self._note_success(latency_us)
        if self._calls >= self._window:
            return is_too_dear
        self._calls += 1
        self._errors += is_error
        return is_error and self._errors > self._window * self._max_error_share

    def _note_success(self, latency_us: float) -> None:
        average = self._latency_us
        if average:
            latency_us = average * self._smooth + latency_us * (1 - self._smooth)
        self._latency_us = latency_us
        cost = self._cost_us
        self._cost_us = cost * self._smooth if cost >= _CHEAP_US else 0.0

    def _note_error(self, latency_us: float) -> bool:
        average = self._latency_us
        self._cost_us += min(latency_us, average * _MAX_LATENCY_FACTOR) if average else latency_us
        limit_us = average * self._window * self._max_error_share * (1.0 + _EPSILON)
        return self._cost_us > limit_us
