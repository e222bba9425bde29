"""A server under load, simulated on a virtual clock, with a limiter of the library itself.

Open loop: requests arrive at random, whatever becomes of the ones before. A call waits in one
queue for one of `slots`, takes its service time there, and its response counts if it is in time.
Calls that are late run nevertheless, unless `drops_expired`.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pybrpc.server.limiters.limiter import Limiter

Service = Callable[[random.Random], float]


def exponential(mean_s: float) -> Service:
    """Service times with this mean, in seconds."""
    return lambda dice: dice.expovariate(1.0 / mean_s)


def heavy_tail(mean_s: float, shape: float = 1.5) -> Service:
    """Pareto: some take a hundred times as long as most. The variance is infinite."""
    least = mean_s * (shape - 1) / shape
    return lambda dice: least * dice.paretovariate(shape)


@dataclass(frozen=True, slots=True)
class Load:
    """Requests per second, from `start_s` on."""

    start_s: float
    per_s: float


@dataclass(slots=True)
class Outcome:
    """Counts of the requests that arrived after the warm-up."""

    arrived: int = 0
    rejected: int = 0
    in_time: int = 0
    latencies_s: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def reject_share(self) -> float:
        return self.rejected / max(1, self.arrived)

    @property
    def goodput_per_s(self) -> float:
        """Responses in time, per second."""
        return self.in_time / self.seconds

    def latency_s(self, quantile: float) -> float:
        found = sorted(self.latencies_s)
        return found[min(len(found) - 1, int(quantile * len(found)))] if found else 0.0


@dataclass(slots=True)
class SimulatedServer:
    """One run. `slow_down` multiplies service times that begin after a time."""

    limiter: Limiter | None
    loads: list[Load]
    service: Service
    slots: int = 8
    timeout_s: float = 0.1
    seconds: float = 60.0
    warm_up_s: float = 5.0
    seed: int = 1
    tells_timeout: bool = True
    drops_expired: bool = False
    error_share: float = 0.0
    slow_downs: list[tuple[float, float]] = field(default_factory=list)
    batch: int = 1
    """Requests that arrive at the same moment."""

    def run(self) -> Outcome:
        dice = random.Random(self.seed)
        outcome = Outcome(seconds=self.seconds - self.warm_up_s)
        waiting: deque[tuple[float, int]] = deque()
        ends: list[tuple[float, float, int]] = []
        busy = 0
        timeout_ms = int(self.timeout_s * 1000) if self.tells_timeout else 0
        limiter = self.limiter
        next_arrival = self._after(0.0, dice)
        while True:
            if ends and ends[0][0] <= next_arrival:
                now, arrived_at, concurrency = heapq.heappop(ends)
                busy -= 1
                self._note_end(outcome, dice, now, arrived_at, concurrency)
                while waiting and busy < self.slots:
                    arrived_at, concurrency = waiting.popleft()
                    if self.drops_expired and now > arrived_at + self.timeout_s:
                        if limiter is not None:
                            limiter.on_end(now, now - arrived_at, concurrency, 1008)
                        continue
                    busy += 1
                    heapq.heappush(
                        ends, (now + self._service_s(now, dice), arrived_at, concurrency)
                    )
                continue
            now = next_arrival
            if now >= self.seconds:
                return outcome
            next_arrival = self._after(now, dice)
            for _ in range(self.batch):
                concurrency = busy + len(waiting) + 1
                counts = now >= self.warm_up_s
                outcome.arrived += counts
                if limiter is not None and not limiter.admits(concurrency, timeout_ms, now):
                    outcome.rejected += counts
                elif busy < self.slots:
                    busy += 1
                    heapq.heappush(ends, (now + self._service_s(now, dice), now, concurrency))
                else:
                    waiting.append((now, concurrency))

    def _note_end(
        self, outcome: Outcome, dice: random.Random, now: float, arrived_at: float, concurrency: int
    ) -> None:
        latency_s = now - arrived_at
        failed = self.error_share > 0 and dice.random() < self.error_share
        if self.limiter is not None:
            self.limiter.on_end(now, latency_s, concurrency, 2001 if failed else 0)
        if arrived_at >= self.warm_up_s:
            outcome.latencies_s.append(latency_s)
            outcome.in_time += latency_s <= self.timeout_s

    def _after(self, now: float, dice: random.Random) -> float:
        rate = 0.0
        for load in self.loads:
            if load.start_s <= now:
                rate = load.per_s
        return now + dice.expovariate(rate / self.batch)

    def _service_s(self, now: float, dice: random.Random) -> float:
        factor = 1.0
        for start_s, new in self.slow_downs:
            if now >= start_s:
                factor = new
        return factor * self.service(dice)
