"""Scenario: servers, clients, and what happens to them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.cluster.faults import Fault, ServiceTime, exponential
from pybrpc.server.limiters.limiter import Limiter

Lists = Sequence[tuple[float, Sequence[int]]]
"""From a time on, the numbers of the servers that the naming service names."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """All rates are of all clients together."""

    name: str
    servers: int
    slots: int
    clients: int
    rate: float
    """Calls per second."""
    duration_s: float = 4.0
    """Virtual seconds in which clients send calls."""
    service_time: ServiceTime = field(default_factory=lambda: exponential(0.004))
    faults: Callable[[int, random.Random], Sequence[Fault]] = lambda index, source: ()
    """The faults of server number `index`."""
    tags: Callable[[int], str] = lambda index: ""
    limiter: Callable[[], Limiter | None] = lambda: None
    """Makes the limiter of a server."""
    timeout_s: float = math.inf
    max_retry: int = 0
    backup_after_s: float = math.inf
    hash_keys: Callable[[random.Random], Callable[[], int]] | None = None
    """Makes what makes the hash keys of a client."""
    lists: Callable[[int], Lists] | None = None
    """The lists of client number `index`; `None`: it has all servers from the beginning."""
    measured_from: float = 0.0
    """Calls that begin earlier don't count."""
    drain_s: float = 120.0
    """Virtual seconds after the last call in which answers are awaited."""
