"""The scenarios: servers of 4 ms with exponential times, unless a scenario says otherwise."""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.cluster.faults import Fault, FaultKind, antagonist
from bench.cluster.scenario import Lists, Scenario
from pybrpc.rpc.hash_key import hash_64

SERVICE_S = 0.004


def rate_of(servers: float, slots: int, load: float, service_s: float = SERVICE_S) -> float:
    """Calls per second that use `load` of all slots."""
    return servers * slots / service_s * load


STEADY = Scenario("A: 20 servers, 70 %", 20, 4, 10, rate_of(20, 4, 0.7))


def one_slow(factor: float = 10.0, servers: int = 20, begin: float = 0.5) -> Scenario:
    """B: one of the servers becomes slower."""

    def faults(index: int, _: random.Random) -> Sequence[Fault]:
        return [Fault(FaultKind.SLOW, begin, factor=factor)] if index == 0 else ()

    return replace(
        STEADY,
        name=f"B: one of {servers} is {factor:g}x slower",
        servers=servers,
        rate=rate_of(servers, 4, 0.7),
        faults=faults,
    )


def half_slow() -> Scenario:
    """C: half of the servers are 3 times slower; 80 % of what is left."""

    def faults(index: int, _: random.Random) -> Sequence[Fault]:
        return [Fault(FaultKind.SLOW, factor=3.0)] if index % 2 else ()

    rate = rate_of(10 + 10 / 3, 4, 0.8)
    return replace(STEADY, name="C: half are 3x slower, 80 %", faults=faults, rate=rate)


def antagonists(until: float = 8.0) -> Scenario:
    """E: each server is 4 times slower for 15 % of the time, 0.2 s on average."""

    def faults(_: int, source: random.Random) -> Sequence[Fault]:
        return antagonist(source, until, 4.0, 0.15, 0.2)

    return replace(
        STEADY, name="E: 4x slower 15 % of the time, 55 %", faults=faults, rate=rate_of(20, 4, 0.55)
    )


def small_clients(antagonists: bool, until: float = 4.0) -> Scenario:
    """F and G: 100 clients with few calls each, and 100 servers that run one request at a time."""

    def faults(_: int, source: random.Random) -> Sequence[Fault]:
        return antagonist(source, until, 4.0, 0.15, 0.2) if antagonists else ()

    load = 0.55 if antagonists else 0.7
    name = "F: 100 clients x 100 servers, 4x slower 15 %" if antagonists else "G: the same, steady"
    return Scenario(name, 100, 1, 100, rate_of(100, 1, load), until, faults=faults)


def newcomer(others: int) -> Scenario:
    """A server joins others at 1 s, and answers nothing for a second. Ends then."""

    def faults(index: int, _: random.Random) -> Sequence[Fault]:
        return [Fault(FaultKind.STALLS, 0.0, 2.0)] if index == others else ()

    return Scenario(
        f"a newcomer beside {others} hangs for 1 s",
        others + 1,
        4,
        1,
        rate_of(others, 4, 0.5),
        duration_s=2.0,
        faults=faults,
        lists=lambda client: _joins(others, 1.0),
        measured_from=1.0,
    )


def _joins(others: int, when: float) -> Lists:
    """The last one of the servers joins the others."""
    return [(0.0, range(others)), (when, range(others + 1))]


def broken(kind: FaultKind = FaultKind.FAILS, servers: int = 10) -> Scenario:
    """One of the servers fails at once, or never answers; a timeout of 500 ms."""

    def faults(index: int, _: random.Random) -> Sequence[Fault]:
        return [Fault(kind)] if index == 0 else ()

    return Scenario(
        f"one of {servers}: {kind.value}",
        servers,
        4,
        1,
        rate_of(servers, 4, 0.5),
        duration_s=2.0,
        faults=faults,
        timeout_s=0.5,
    )


def hot_keys(exponent: float = 1.1, keys: int = 10_000) -> Scenario:
    """Hash keys of which few are called often: Zipf's distribution."""
    sums = list(itertools.accumulate(rank**-exponent for rank in range(1, keys + 1)))
    hashed = [hash_64(str(rank).encode()) for rank in range(keys)]

    def hash_keys(source: random.Random) -> Callable[[], int]:
        return lambda: hashed[min(bisect.bisect(sums, source.random() * sums[-1]), keys - 1)]

    return Scenario(
        "keys by Zipf, 20 servers",
        20,
        10_000,
        1,
        20_000.0,
        duration_s=1.0,
        hash_keys=hash_keys,
        service_time=lambda source: source.expovariate(1 / 0.02),
    )
