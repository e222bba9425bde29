"""Scenarios in which servers stop, come back, fail together, or have too much to do.

As in `scenarios`: servers of 4 ms with exponential times, unless a scenario says otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from bench.cluster.faults import Fault, FaultKind, restart
from bench.cluster.scenario import Lists, Scenario
from bench.cluster.scenarios import SERVICE_S, rate_of
from pybrpc.server.limiters.auto_limiter import AutoLimiter
from pybrpc.server.limiters.limiter import Limiter

MAX_RETRY = 3
"""The default of channels."""


def rolling_restart(servers: int = 20, every_s: float = 1.0, rate: float = 2000.0) -> Scenario:
    """Each server stops, one after the other, and is there again after 0.7 s."""

    def faults(index: int, _: random.Random) -> Sequence[Fault]:
        return restart(1.0 + index * every_s)

    return Scenario(
        f"rolling restart of {servers}",
        servers,
        4,
        10,
        rate,
        2.0 + servers * every_s,
        faults=faults,
        timeout_s=1.0,
        max_retry=MAX_RETRY,
    )


def changing_names(servers: int = 10, every_s: float = 0.2) -> Scenario:
    """The naming service names half of the servers, another half each time."""

    def lists(_: int) -> Lists:
        return [
            (step * every_s, [(step + place) % servers for place in range(servers // 2)])
            for step in range(int(2.0 / every_s))
        ]

    return Scenario(
        f"half of {servers} named, others each {every_s:g} s",
        servers,
        4,
        10,
        rate_of(servers / 2, 4, 0.4),
        2.0,
        lists=lists,
        timeout_s=0.5,
        max_retry=MAX_RETRY,
    )


def all_fail(code: int, servers: int = 10, begin: float = 0.5, end: float = 3.5) -> Scenario:
    """All servers answer with an error at once, for some time."""

    def faults(index: int, _: random.Random) -> Sequence[Fault]:
        return [Fault(FaultKind.FAILS, begin, end, code=code)]

    return Scenario(
        f"all of {servers} fail",
        servers,
        4,
        10,
        2000.0,
        end + 2.0,
        faults=faults,
        timeout_s=0.5,
        max_retry=MAX_RETRY,
    )


def overloaded(
    load: float, new_limiter: Callable[[], Limiter | None] = AutoLimiter, max_retry: int = MAX_RETRY
) -> Scenario:
    """10 servers with a limiter each; calls that are refused go to another server."""
    return Scenario(
        f"10 servers with limiters, {load:.0%}",
        10,
        8,
        10,
        rate_of(10, 8, load, 0.010),
        4.0,
        service_time=lambda source: source.expovariate(1 / 0.010),
        limiter=new_limiter,
        timeout_s=0.1,
        max_retry=max_retry,
        measured_from=1.5,
    )


def large(servers: int = 1000, clients: int = 10_000, subset: int = 20) -> Scenario:
    """Very many servers of 40 ms, each client with some of them; a hundredth fails, another one is
    slow, and one is gone. 70 % of the slots are used."""

    def faults(index: int, _: random.Random) -> Sequence[Fault]:
        kinds = {0: FaultKind.FAILS, 1: FaultKind.SLOW, 2: FaultKind.REFUSES}
        kind = kinds.get(index % 100)
        return () if kind is None else [Fault(kind, 1.0, factor=10.0)]

    def lists(client: int) -> Lists:
        """Deterministic subsets, as in `balancing.subsets`, which would sort all servers anew for
        each client."""
        subsets = max(servers // subset, 1)
        order = list(range(servers))
        random.Random(client // subsets).shuffle(order)
        start = client % subsets * subset
        return [(0.0, order[start : start + subset])]

    return Scenario(
        f"{servers} servers, {clients} clients",
        servers,
        4,
        clients,
        rate_of(servers, 4, 0.7, 10 * SERVICE_S),
        3.0,
        service_time=lambda source: source.expovariate(1 / (10 * SERVICE_S)),
        faults=faults,
        lists=lists,
        timeout_s=1.0,
        max_retry=MAX_RETRY,
    )
