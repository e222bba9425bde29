"""A server under load, simulated on a virtual clock, with a limiter of the library itself.

Open loop: requests arrive at random, whatever becomes of the ones before. A call waits in one
queue for one of `slots`, takes its service time there, and its response counts if it is in time.
Calls that are late run nevertheless: that is the worst case of a server that does not know when its
clients give up.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pybrpc.server.limiters.limiter import Limiter

Service = Callable[[random.Random], float]
"""Draws a service time, in seconds."""

Steps = Sequence[tuple[float, float]]
"""Values that change: from a time on, in seconds, another one."""


def exponential(mean_s: float) -> Service:
    """Service times with this mean."""
    return lambda dice: dice.expovariate(1.0 / mean_s)


def heavy_tail(mean_s: float, shape: float = 1.5) -> Service:
    """Pareto: a few take a hundred times as long as most; the variance is infinite."""
    least = mean_s * (shape - 1) / shape
    return lambda dice: least * dice.paretovariate(shape)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A server, and the requests that come to it."""

    per_s: Steps
    """Requests per second."""
    service: Service
    slots: int = 8
    timeout_s: float = 0.1
    seconds: float = 60.0
    warm_up_s: float = 5.0
    """Requests that arrive before are not counted."""
    slowness: Steps = ((0.0, 1.0),)
    """A factor of service times."""
    tells_timeout: bool = True
    burst: int = 1
    """Requests that arrive at the same moment."""


@dataclass(slots=True)
class Outcome:
    """Counts of the requests that arrived after the warm-up."""

    seconds: float
    arrived: int = 0
    rejected: int = 0
    in_time: int = 0
    latencies_s: list[float] = field(default_factory=list)

    @property
    def reject_share(self) -> float:
        return self.rejected / max(1, self.arrived)

    @property
    def goodput_per_s(self) -> float:
        """Responses in time, per second."""
        return self.in_time / self.seconds

    def latency_s(self, quantile: float) -> float:
        """A quantile of the calls that have ended; 0 without any."""
        found = sorted(self.latencies_s)
        return found[min(len(found) - 1, int(quantile * len(found)))] if found else 0.0


class SimulatedServer:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario, limiter: Limiter | None, seed: int = 1) -> None:
        self._scenario = scenario
        self._limiter = limiter
        self._dice = random.Random(seed)
        self._outcome = Outcome(scenario.seconds - scenario.warm_up_s)
        self._waiting: deque[tuple[float, int]] = deque()
        """Time of arrival, and concurrency, of admitted calls."""
        self._running: list[tuple[float, float, int]] = []
        """Time of the end before these, the next one first."""

    def run(self) -> Outcome:
        scenario, running = self._scenario, self._running
        arrives_at = self._next_arrival(0.0)
        while arrives_at < scenario.seconds:
            if running and running[0][0] <= arrives_at:
                self._end_call(*heapq.heappop(running))
                continue
            for _ in range(scenario.burst):
                self._arrive(arrives_at)
            arrives_at = self._next_arrival(arrives_at)
        return self._outcome

    def _arrive(self, now: float) -> None:
        scenario, limiter = self._scenario, self._limiter
        concurrency = len(self._running) + len(self._waiting) + 1
        timeout_ms = int(scenario.timeout_s * 1000) if scenario.tells_timeout else 0
        is_admitted = limiter is None or limiter.admits(concurrency, timeout_ms, now)
        if now >= scenario.warm_up_s:
            self._outcome.arrived += 1
            self._outcome.rejected += not is_admitted
        if is_admitted and len(self._running) < scenario.slots:
            self._begin(now, now, concurrency)
        elif is_admitted:
            self._waiting.append((now, concurrency))

    def _begin(self, now: float, arrived_at: float, concurrency: int) -> None:
        slowness = _value_at(self._scenario.slowness, now)
        ends_at = now + slowness * self._scenario.service(self._dice)
        heapq.heappush(self._running, (ends_at, arrived_at, concurrency))

    def _end_call(self, now: float, arrived_at: float, concurrency: int) -> None:
        scenario, outcome = self._scenario, self._outcome
        latency_s = now - arrived_at
        if self._limiter is not None:
            self._limiter.on_end(now, latency_s, concurrency, 0)
        if arrived_at >= scenario.warm_up_s:
            outcome.latencies_s.append(latency_s)
            outcome.in_time += latency_s <= scenario.timeout_s
        if self._waiting:
            self._begin(now, *self._waiting.popleft())

    def _next_arrival(self, now: float) -> float:
        scenario = self._scenario
        per_s = _value_at(scenario.per_s, now)
        return now + self._dice.expovariate(per_s / scenario.burst)


def _value_at(steps: Steps, now: float) -> float:
    value = 0.0
    for begin_s, each in steps:
        if begin_s <= now:
            value = each
    return value
