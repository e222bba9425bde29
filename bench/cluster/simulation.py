"""Simulation: one scenario with one balancer, from the first call to the last answer."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.cluster.clock import VirtualClock
from bench.cluster.faults import Fault, ServiceTime, exponential
from bench.cluster.results import Results
from bench.cluster.routing import BalancerAlone, Routing
from bench.cluster.simulated_client import SimulatedClient
from bench.cluster.simulated_server import SimulatedServer
from pybrpc.client.cluster.balancing.registry import new_load_balancer
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.client.cluster.server_node import ServerNode

DRAIN_S = 120.0
"""Virtual seconds after the last call in which answers are awaited."""

NewRouting = Callable[[random.Random], Routing]
"""The routing of a client."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Servers, clients and what happens. All rates are of all clients together."""

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
    timeout_s: float = math.inf
    max_retry: int = 0
    hash_keys: Callable[[random.Random], Callable[[], int]] | None = None
    """Makes what makes the hash keys of a client."""
    joins_at: float = 0.0
    """When the last server joins the others; 0: it is there from the beginning."""
    measured_from: float = 0.0
    """Calls that begin earlier don't count."""


class Simulation:
    """One run. `servers` and `clients` may be looked at while it runs, by functions on `clock`."""

    def __init__(self, scenario: Scenario, new_routing: NewRouting, seed: int = 1) -> None:
        self.scenario = scenario
        self.clock = VirtualClock()
        self._source = random.Random(seed)
        self._latencies_s: list[float] = []
        self._calls = 0
        self._failed = 0
        self.servers = [self._new_server(index) for index in range(scenario.servers)]
        self.clients = [self._new_client(new_routing) for _ in range(scenario.clients)]
        self._received_before = [0] * len(self.servers)
        self.clock.at(scenario.measured_from, self._begin_measuring)

    def _begin_measuring(self, _: object) -> None:
        self._received_before = [server.received for server in self.servers]

    def _new_server(self, index: int) -> SimulatedServer:
        scenario = self.scenario
        return SimulatedServer(
            self.clock,
            self._new_source(),
            scenario.slots,
            scenario.service_time,
            scenario.faults(index, self._new_source()),
        )

    def _new_source(self) -> random.Random:
        return random.Random(self._source.getrandbits(64))

    def _new_client(self, new_routing: NewRouting) -> SimulatedClient:
        scenario = self.scenario
        listed = [
            ClusterServer(
                ServerNode.parse(address_of(index), scenario.tags(index)),
                server,
            )
            for index, server in enumerate(self.servers)
        ]
        routing = new_routing(self._new_source())
        if scenario.joins_at:
            routing.update(listed[:-1])
            self.clock.at(scenario.joins_at, routing.update, listed)
        else:
            routing.update(listed)
        keys = scenario.hash_keys
        return SimulatedClient(
            self.clock,
            self._new_source(),
            routing,
            self._on_done,
            rate=scenario.rate / scenario.clients,
            until=scenario.duration_s,
            timeout_s=scenario.timeout_s,
            max_retry=scenario.max_retry,
            new_key=None if keys is None else keys(self._new_source()),
        )

    def _on_done(self, begun_at: float, now: float, is_ok: bool) -> None:
        if begun_at < self.scenario.measured_from:
            return
        self._calls += 1
        if is_ok:
            self._latencies_s.append(now - begun_at)
        else:
            self._failed += 1

    def run(self) -> Results:
        """Run it to its end."""
        self.clock.run(self.scenario.duration_s + DRAIN_S)
        return self.results()

    def results(self) -> Results:
        """The figures up to now."""
        received = [
            server.received - before
            for server, before in zip(self.servers, self._received_before, strict=True)
        ]
        return Results(
            sorted(self._latencies_s),
            self._calls,
            self._failed,
            sum(client.attempts for client in self.clients),
            [count / max(sum(received), 1) for count in received],
        )


def address_of(index: int) -> str:
    """The address of server number `index`."""
    return f"10.{index >> 16}.{index >> 8 & 255}.{index & 255}:80"


def with_balancer(spec: str) -> NewRouting:
    """The routing by a balancer of the registry alone."""
    return lambda source: BalancerAlone(new_load_balancer(spec, source))


def simulate(scenario: Scenario, spec: str, seed: int = 1) -> Results:
    """Run a scenario with the balancer that `load_balancer=spec` names."""
    return Simulation(scenario, with_balancer(spec), seed).run()
