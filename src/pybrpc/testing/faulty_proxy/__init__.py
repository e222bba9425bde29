"""A proxy that stalls, slows, cuts, resets and loses what passes through it, for tests."""

from __future__ import annotations

from pybrpc.testing.faulty_proxy.faults import (
    NO_FAULTS,
    CutAt,
    Delay,
    DropFrom,
    Fault,
    Faults,
    HalfCloseAt,
    Plan,
    Refuse,
    ResetAt,
    Slow,
    Stall,
)
from pybrpc.testing.faulty_proxy.faulty_proxy import FaultyProxy
from pybrpc.testing.faulty_proxy.random_faults import RandomFaults
from pybrpc.testing.faulty_proxy.statistics import ProxyStatistics

__all__ = [
    "NO_FAULTS",
    "CutAt",
    "Delay",
    "DropFrom",
    "Fault",
    "Faults",
    "FaultyProxy",
    "HalfCloseAt",
    "Plan",
    "ProxyStatistics",
    "RandomFaults",
    "Refuse",
    "ResetAt",
    "Slow",
    "Stall",
]


def __dir__() -> list[str]:
    return __all__
