"""A server under load, on the virtual clock, with a limiter of the library itself.

The server is that of simulated clusters (`bench.cluster`), without a network and clients around it.
Open loop: requests arrive at random, whatever becomes of the ones before. A call waits in one
queue for one of `slots`, takes its service time there, and its response counts if it is in time.
Calls that are late run nevertheless: that is the worst case of a server that does not know when its
clients give up.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from bench.cluster.clock import VirtualClock
from bench.cluster.faults import Fault, FaultKind, ServiceTime
from bench.cluster.simulated_server import SimulatedServer
from pybrpc.errors import ErrorCode
from pybrpc.server.limiters.limiter import Limiter

Steps = Sequence[tuple[float, float]]
"""Values that change: from a time on, in seconds, another one."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A server, and the requests that come to it."""

    per_s: Steps
    """Requests per second."""
    service: ServiceTime
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


class Run:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario, limiter: Limiter | None, seed: int = 1) -> None:
        self._scenario = scenario
        self._clock = VirtualClock()
        self._dice = random.Random(seed)
        self._outcome = Outcome(scenario.seconds - scenario.warm_up_s)
        self._timeout_ms = int(scenario.timeout_s * 1000) if scenario.tells_timeout else 0
        self._server = SimulatedServer(
            self._clock,
            self._dice,
            scenario.slots,
            scenario.service,
            list(_faults(scenario.slowness)),
            limiter,
        )

    def run(self) -> Outcome:
        self._plan_arrival()
        self._clock.run(self._scenario.seconds)
        return self._outcome

    def _plan_arrival(self) -> None:
        scenario = self._scenario
        per_s = _value_at(scenario.per_s, self._clock.now)
        self._clock.after(self._dice.expovariate(per_s / scenario.burst), self._arrive)

    def _arrive(self, _: object) -> None:
        for _ in range(self._scenario.burst):
            now = self._clock.now
            is_counted = now >= self._scenario.warm_up_s
            self._outcome.arrived += is_counted
            answer = partial(self._answer, now) if is_counted else _ignore
            self._server.receive(answer, self._timeout_ms)
        self._plan_arrival()

    def _answer(self, arrived_at: float, code: int) -> None:
        outcome = self._outcome
        if code == ErrorCode.ELIMIT:
            outcome.rejected += 1
            return
        latency_s = self._clock.now - arrived_at
        outcome.latencies_s.append(latency_s)
        outcome.in_time += latency_s <= self._scenario.timeout_s


def simulate(scenario: Scenario, limiter: Limiter | None, seed: int = 1) -> Outcome:
    """Run a scenario; the same again with the same seed."""
    return Run(scenario, limiter, seed).run()


def _ignore(code: int) -> None:
    """A request of the warm-up was answered."""


def _faults(slowness: Steps) -> Iterator[Fault]:
    ends = [begin for begin, _ in slowness[1:]] + [math.inf]
    for (begin, factor), end in zip(slowness, ends, strict=True):
        if factor != 1.0:
            yield Fault(FaultKind.SLOW, begin, end, factor)


def _value_at(steps: Steps, now: float) -> float:
    value = 0.0
    for begin_s, each in steps:
        if begin_s <= now:
            value = each
    return value
