"""Simulation: a scenario with channels of some settings, from the first call to the last answer."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from bench.cluster.channel_settings import ChannelSettings, balancer_alone
from bench.cluster.clock import VirtualClock
from bench.cluster.results import STEP_S, Results
from bench.cluster.scenario import Scenario
from bench.cluster.simulated_call import SimulatedCall
from bench.cluster.simulated_channel import SimulatedChannel
from bench.cluster.simulated_client import SimulatedClient
from bench.cluster.simulated_server import SimulatedServer
from pybrpc.client.cluster.server_node import ServerNode

PROGRESS_STEPS = 20
Progress = Callable[[float, int], object]
"""Called with how much of the virtual time is over, from 0 to 1, and how many calls have ended."""


class Simulation:
    """One run. Functions on `clock` may look, while it runs, at `servers`, `clients`, and at
    `latencies_s`, those of calls in the order of their ends."""

    def __init__(self, scenario: Scenario, settings: ChannelSettings, seed: int = 1) -> None:
        self.scenario = scenario
        self.clock = VirtualClock()
        self._settings = settings
        self._source = random.Random(seed)
        self.latencies_s: list[float] = []
        self._codes: Counter[int] = Counter()
        steps = int(scenario.duration_s / STEP_S) + 1
        self._begun, self._failed = [0] * steps, [0] * steps
        self.nodes = [
            ServerNode.parse(address_of(index), scenario.tags(index))
            for index in range(scenario.servers)
        ]
        self.servers = [self._new_server(index) for index in range(scenario.servers)]
        self._by_node = dict(zip(self.nodes, self.servers, strict=True))
        self.clients = [self._new_client(index) for index in range(scenario.clients)]
        self._received_before = [0] * len(self.servers)
        self._attempts_before = 0
        self.clock.at(scenario.measured_from, self._begin_measuring)

    def _begin_measuring(self, _: object) -> None:
        self._received_before = [server.received for server in self.servers]
        self._attempts_before = self._attempts()

    def _attempts(self) -> int:
        return sum(client.attempts for client in self.clients)

    def _new_server(self, index: int) -> SimulatedServer:
        scenario = self.scenario
        return SimulatedServer(
            self.clock,
            self._new_source(),
            scenario.slots,
            scenario.service_time,
            scenario.faults(index, self._new_source()),
            scenario.limiter(),
        )

    def _new_source(self) -> random.Random:
        return random.Random(self._source.getrandbits(64))

    def _new_client(self, index: int) -> SimulatedClient:
        scenario = self.scenario
        channel = SimulatedChannel(self.clock, self._new_source(), self._settings, self._by_node)
        lists = [(0.0, range(len(self.nodes)))] if scenario.lists is None else scenario.lists(index)
        for when, indexes in lists:
            nodes = [self.nodes[each] for each in indexes]
            if when:
                self.clock.at(when, channel.set_nodes, nodes)
            else:
                channel.set_nodes(nodes)
        keys = scenario.hash_keys
        return SimulatedClient(
            self.clock,
            self._new_source(),
            channel,
            self._on_done,
            rate=scenario.rate / scenario.clients,
            until=scenario.duration_s,
            timeout_s=scenario.timeout_s,
            max_retry=scenario.max_retry,
            backup_after_s=scenario.backup_after_s,
            new_key=None if keys is None else keys(self._new_source()),
        )

    def _on_done(self, call: SimulatedCall, code: int) -> None:
        begun_at = call.begun_at
        step = int(begun_at / STEP_S)
        self._begun[step] += 1
        if code:
            self._failed[step] += 1
        if begun_at >= self.scenario.measured_from:
            self._codes[code] += 1
            if not code:
                self.latencies_s.append(self.clock.now - begun_at)

    def run(self, progress: Progress | None = None) -> Results:
        """Run it to its end."""
        until = self.scenario.duration_s
        if progress is not None:
            for step in range(1, PROGRESS_STEPS + 1):
                self.clock.run(until * step / PROGRESS_STEPS)
                progress(step / PROGRESS_STEPS, sum(self._begun))
        self.clock.run(until + self.scenario.drain_s)
        return self.results()

    def results(self) -> Results:
        """The figures up to now."""
        scenario = self.scenario
        received = [
            server.received - before
            for server, before in zip(self.servers, self._received_before, strict=True)
        ]
        calls = self._codes.total()
        return Results(
            sorted(self.latencies_s),
            calls,
            calls - self._codes[0],
            self._attempts() - self._attempts_before,
            [count / max(sum(received), 1) for count in received],
            dict(self._codes),
            list(zip(self._begun, self._failed, strict=True)),
            self._codes[0] / (scenario.duration_s - scenario.measured_from),
        )


def address_of(index: int) -> str:
    """The address of server number `index`."""
    return f"10.{index >> 16}.{index >> 8 & 255}.{index & 255}:80"


def simulate(scenario: Scenario, spec: str, seed: int = 1) -> Results:
    """Run a scenario with the balancer alone that `load_balancer=spec` names."""
    return Simulation(scenario, balancer_alone(spec), seed).run()
