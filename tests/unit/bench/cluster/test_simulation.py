"""The simulator itself: its clock, servers, faults and clients."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bench.cluster.clock import VirtualClock
from bench.cluster.faults import Fault, FaultKind, antagonist, exponential, heavy_tailed
from bench.cluster.results import Results
from bench.cluster.simulated_server import SimulatedServer
from bench.cluster.simulation import Scenario, Simulation, simulate, with_balancer
from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.client.cluster.cluster_server import ClusterServer

SMALL = Scenario("small", 3, 2, 2, 300.0, duration_s=0.5)


def test_clock_runs_functions_in_order_and_up_to_a_time() -> None:
    clock = VirtualClock()
    ran: list[tuple[float, Any]] = []

    def note(what: Any) -> None:
        ran.append((clock.now, what))
        if what == "b":
            clock.after(0.5, note, "d")

    for when, what in ((2.0, "c"), (1.0, "a"), (1.0, "b"), (9.0, "e")):
        clock.at(when, note, what)
    clock.run(5.0)
    assert ran == [(1.0, "a"), (1.0, "b"), (1.5, "d"), (2.0, "c")]
    assert clock.now == 5.0


class Answers:
    """Requests to a server that takes 1 s for each, and when they were answered."""

    def __init__(self, *faults: Fault, slots: int = 1) -> None:
        self.clock = VirtualClock()
        self.answered: list[tuple[float, bool]] = []
        self.server = SimulatedServer(
            self.clock, random.Random(1), slots, lambda source: 1.0, faults
        )

    def send(self, *times: float) -> list[tuple[float, bool]]:
        for when in times:
            self.clock.at(when, lambda _: self.server.receive(self._note))
        self.clock.run(100.0)
        return self.answered

    def _note(self, is_ok: bool) -> None:
        self.answered.append((self.clock.now, is_ok))


def test_requests_wait_for_a_slot() -> None:
    assert Answers().send(0.0, 0.1, 5.0) == [(1.0, True), (2.0, True), (6.0, True)]
    assert Answers(slots=2).send(0.0, 0.5, 0.6) == [(1.0, True), (1.5, True), (2.0, True)]


@pytest.mark.parametrize(
    ("fault", "answered"),
    [
        (Fault(FaultKind.SLOW, 0.0, 2.0, 3.0), [(3.0, True), (4.0, True), (9.0, True)]),
        (Fault(FaultKind.FAILS, 0.0, 2.0), [(0.0, False), (1.0, False), (9.0, True)]),
        (Fault(FaultKind.BLACK_HOLE, 0.0, 2.0), [(9.0, True)]),
        (Fault(FaultKind.STALLS, 0.0, 3.0), [(4.0, True), (5.0, True), (9.0, True)]),
        (
            Fault(FaultKind.FLAPS, 0.0, 20.0, period_s=1.0),
            [(0.0, False), (2.0, True), (8.0, False)],
        ),
    ],
    ids=lambda value: value.kind.value if isinstance(value, Fault) else "",
)
def test_faults(fault: Fault, answered: Sequence[tuple[float, bool]]) -> None:
    answers = Answers(fault)
    assert answers.send(0.0, 1.0, 8.0) == answered
    assert answers.server.received == 3
    assert answers.server.answered == len(answered)


def test_antagonist_takes_its_share_of_the_time() -> None:
    faults = antagonist(random.Random(1), 2000.0, 4.0, 0.15, 0.2)
    assert sum(fault.end - fault.begin for fault in faults) / 2000 == pytest.approx(0.15, abs=0.02)
    assert {fault.factor for fault in faults} == {4.0}


@pytest.mark.parametrize("made", [exponential, heavy_tailed])
def test_service_times_have_their_mean(made: Any) -> None:
    source, service_time = random.Random(1), made(0.004)
    assert sum(service_time(source) for _ in range(50_000)) / 50_000 == pytest.approx(
        0.004, rel=0.1
    )


def test_run_is_the_same_again_with_its_seed() -> None:
    assert simulate(SMALL, "p2c_ewma", 5) == simulate(SMALL, "p2c_ewma", 5)
    assert simulate(SMALL, "p2c_ewma", 5) != simulate(SMALL, "p2c_ewma", 6)


def test_every_call_ends_and_every_attempt_is_uncounted() -> None:
    listed: list[ClusterServer] = []
    new = with_balancer("p2c_ewma")

    def new_routing(source: random.Random) -> Any:
        routing = new(source)
        update = routing.update

        def noted(servers: Sequence[ClusterServer]) -> None:
            listed.extend(servers)
            update(servers)

        routing.update = noted
        return routing

    results = Simulation(SMALL, new_routing).run()
    assert results.calls == results.attempts == len(results.latencies_s)
    assert results.calls == pytest.approx(150, abs=40)
    assert sum(results.shares) == pytest.approx(1.0)
    assert [server.in_flight for server in listed] == [0] * 6
    assert results.p50_s == pytest.approx(0.0004 + 0.0028, rel=0.4)


class FirstServer:
    """A routing that knows only the first server that was not tried, and notes what ends."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, Outcome, float]] = []

    def update(self, servers: Sequence[ClusterServer]) -> None:
        self.servers = servers

    def pick(self, tried: Any, hash_key: Any, now: float) -> ClusterServer | None:
        return next((server for server in self.servers if server not in tried), None)

    def begin(self, server: ClusterServer, now: float) -> None:
        pass

    def end(
        self, server: ClusterServer, begun_at: float, now: float, outcome: Outcome, limit_s: float
    ) -> None:
        self.ended.append((str(server.node), outcome, limit_s))


def faulty(kind: FaultKind) -> Any:
    return lambda index, source: [Fault(kind)] if index == 0 else ()


def test_failed_attempt_is_retried_at_another_server() -> None:
    routing = FirstServer()
    scenario = replace(SMALL, clients=1, faults=faulty(FaultKind.FAILS), max_retry=1)
    results = Simulation(scenario, lambda source: routing).run()
    assert results.failed == 0
    assert results.attempts == 2 * results.calls
    assert {end[:2] for end in routing.ended} == {
        ("10.0.0.0:80", Outcome.FAULT),
        ("10.0.0.1:80", Outcome.SUCCESS),
    }
    assert {end[2] for end in routing.ended} == {math.inf}


def test_call_without_an_answer_fails_at_its_timeout() -> None:
    routing = FirstServer()
    scenario = replace(SMALL, clients=1, faults=faulty(FaultKind.BLACK_HOLE), timeout_s=0.3)
    results = Simulation(scenario, lambda source: routing).run()
    assert results.failed_share == 1.0
    assert {end[:2] for end in routing.ended} == {("10.0.0.0:80", Outcome.FAULT)}
    assert [end[2] for end in routing.ended] == pytest.approx([0.3] * results.calls)


def test_call_without_a_server_fails() -> None:
    class NoServer(FirstServer):
        def pick(self, tried: Any, hash_key: Any, now: float) -> None:
            return None

    results = Simulation(SMALL, lambda source: NoServer()).run()
    assert results.failed == results.calls > 100
    assert results.p99_s == 0.0


def test_calls_before_the_measurement_do_not_count() -> None:
    results = simulate(replace(SMALL, measured_from=0.25), "rr")
    assert results.calls == pytest.approx(75, abs=30)


def test_percentiles() -> None:
    results = Results([index / 100 for index in range(100)], 100, 0, 100, [1.0])
    assert (results.p50_s, results.p99_s, results.percentile_s(1.0)) == (0.5, 0.99, 0.99)
