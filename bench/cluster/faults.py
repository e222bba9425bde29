"""Faults of simulated servers, each from a time to another one."""

from __future__ import annotations

import enum
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from pybrpc.errors import ErrorCode


class FaultKind(enum.Enum):
    """Each is a way in which a server behaves while it has a fault."""

    SLOW = "slow"
    """Each request takes `factor` times as long."""
    FAILS = "fails"
    """It answers `share` of the requests with the error `code`, after `delay_s`."""
    BLACK_HOLE = "black hole"
    """It never answers."""
    STALLS = "stalls"
    """It answers nothing until the fault is over, and then all."""
    FLAPS = "flaps"
    """FAILS, in every second period of `period_s`."""
    STOPS = "stops"
    """It answers new requests with ELOGOFF, and ends those that it has."""
    REFUSES = "refuses"
    """Its process is gone: connections break, and new ones are refused."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault between two times of the clock, in seconds."""

    kind: FaultKind
    begin: float = 0.0
    end: float = math.inf
    factor: float = 1.0
    period_s: float = 1.0
    share: float = 1.0
    code: int = int(ErrorCode.EINTERNAL)
    delay_s: float = 0.0

    def holds(self, now: float) -> bool:
        """Whether the server has it now."""
        if not self.begin <= now < self.end:
            return False
        return self.kind is not FaultKind.FLAPS or (now - self.begin) // self.period_s % 2 == 0


def restart(begin: float, stops_s: float = 0.2, gone_s: float = 0.5) -> list[Fault]:
    """A server that stops, as servers do that are asked to, and is started again."""
    gone_at = begin + stops_s
    return [
        Fault(FaultKind.STOPS, begin, gone_at),
        Fault(FaultKind.REFUSES, gone_at, gone_at + gone_s),
    ]


def antagonist(
    source: random.Random, until: float, factor: float, share: float, mean_s: float
) -> list[Fault]:
    """Phases in which another program makes the server slow: `share` of the time in all, each
    `mean_s` seconds long on average."""
    faults: list[Fault] = []
    now = source.expovariate(share / mean_s / (1 - share))
    while now < until:
        end = now + source.expovariate(1 / mean_s)
        faults.append(Fault(FaultKind.SLOW, now, end, factor))
        now = end + source.expovariate(share / mean_s / (1 - share))
    return faults


ServiceTime = Callable[[random.Random], float]
"""Seconds that a request takes on a healthy server."""


def exponential(mean_s: float) -> ServiceTime:
    """An exponential distribution."""
    return lambda source: source.expovariate(1 / mean_s)


def heavy_tailed(mean_s: float, shape: float = 1.5) -> ServiceTime:
    """A Pareto distribution: with the shape 1.5, one request of 100 takes 7 times the mean."""
    least_s = mean_s * (shape - 1) / shape
    return lambda source: least_s * source.paretovariate(shape)
