"""The simulator itself: its clock, servers, faults, links and clients."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bench.cluster.channel_settings import ChannelSettings, balancer_alone
from bench.cluster.clock import VirtualClock
from bench.cluster.faults import Fault, FaultKind, antagonist, exponential, heavy_tailed
from bench.cluster.results import Results
from bench.cluster.scenario import Scenario
from bench.cluster.simulated_server import SimulatedServer
from bench.cluster.simulation import Simulation, simulate
from pybrpc.client.cluster.balancing.round_robin import RoundRobin
from pybrpc.errors import ErrorCode
from pybrpc.server.limiters.limiter import ConstantLimiter

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


FAILED = int(ErrorCode.EINTERNAL)


class Answers:
    """Requests to a server that takes 1 s for each, and the times and codes of its answers."""

    def __init__(self, *faults: Fault, slots: int = 1, limit: int = 0) -> None:
        self.clock = VirtualClock()
        self.answered: list[tuple[float, int]] = []
        limiter = ConstantLimiter(limit) if limit else None
        self.server = SimulatedServer(
            self.clock, random.Random(1), slots, lambda source: 1.0, faults, limiter
        )

    def send(self, *times: float) -> list[tuple[float, int]]:
        for when in times:
            self.clock.at(when, lambda _: self.server.receive(self._note))
        self.clock.run(100.0)
        return self.answered

    def _note(self, code: int) -> None:
        self.answered.append((self.clock.now, code))


def test_requests_wait_for_a_slot() -> None:
    assert Answers().send(0.0, 0.1, 5.0) == [(1.0, 0), (2.0, 0), (6.0, 0)]
    assert Answers(slots=2).send(0.0, 0.5, 0.6) == [(1.0, 0), (1.5, 0), (2.0, 0)]


def test_limiter_refuses_requests() -> None:
    answers = Answers(limit=2)
    refused = int(ErrorCode.ELIMIT)
    assert answers.send(0.0, 0.1, 0.2, 1.5) == [(0.2, refused), (1.0, 0), (2.0, 0), (3.0, 0)]
    assert (answers.server.received, answers.server.rejected) == (4, 1)


@pytest.mark.parametrize(
    ("fault", "answered"),
    [
        (Fault(FaultKind.SLOW, 0.0, 2.0, 3.0), [(3.0, 0), (4.0, 0), (9.0, 0)]),
        (Fault(FaultKind.FAILS, 0.0, 2.0), [(0.0, FAILED), (1.0, FAILED), (9.0, 0)]),
        (Fault(FaultKind.FAILS, 0.0, 2.0, code=7, delay_s=3.0), [(3.0, 7), (4.0, 7), (9.0, 0)]),
        (Fault(FaultKind.BLACK_HOLE, 0.0, 2.0), [(9.0, 0)]),
        (Fault(FaultKind.STALLS, 0.0, 3.0), [(4.0, 0), (5.0, 0), (9.0, 0)]),
        (
            Fault(FaultKind.FLAPS, 0.0, 20.0, period_s=1.0),
            [(0.0, FAILED), (2.0, 0), (8.0, FAILED)],
        ),
        (
            Fault(FaultKind.STOPS, 0.5, 2.0),
            [(0.9, int(ErrorCode.ELOGOFF)), (1.0, 0), (9.0, 0)],
        ),
        (Fault(FaultKind.REFUSES, 0.5, 0.8), [(2.0, 0), (9.0, 0)]),
    ],
    ids=lambda value: value.kind.value if isinstance(value, Fault) else "",
)
def test_faults(fault: Fault, answered: Sequence[tuple[float, int]]) -> None:
    answers = Answers(fault)
    second = 0.9 if fault.kind is FaultKind.STOPS else 1.0
    assert answers.send(0.0, second, 8.0) == answered
    assert answers.server.received == 3
    assert answers.server.answered == len(answered)


def test_share_of_the_requests_fails() -> None:
    answers = Answers(Fault(FaultKind.FAILS, share=0.25), slots=1000)
    codes = [code for _, code in answers.send(*(index / 1000 for index in range(1000)))]
    assert 200 <= codes.count(FAILED) <= 300
    assert codes.count(0) == 1000 - codes.count(FAILED)


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


def in_flight(simulation: Simulation) -> list[int]:
    return [
        server.in_flight
        for client in simulation.clients
        for server in client.channel.router.servers
    ]


def test_every_call_ends_and_every_attempt_is_uncounted() -> None:
    simulation = Simulation(SMALL, ChannelSettings())
    results = simulation.run()
    assert results.calls == results.attempts == len(results.latencies_s)
    assert results.calls == pytest.approx(150, abs=40)
    assert sum(results.shares) == pytest.approx(1.0)
    assert in_flight(simulation) == [0] * 6
    assert results.p50_s == pytest.approx(0.0004 + 0.0028, rel=0.4)
    assert results.codes == {0: results.calls}
    assert sum(calls for calls, _ in results.steps) == results.calls


def one_has(fault: Fault) -> Any:
    return lambda index, source: [fault] if index == 0 else ()


IN_TURNS = balancer_alone(lambda source: RoundRobin())


@pytest.mark.parametrize(
    "code",
    [ErrorCode.ELIMIT, ErrorCode.EOVERCROWDED, ErrorCode.ELOGOFF],
    ids=lambda code: code.name,
)
def test_refused_call_is_retried_at_another_server(code: ErrorCode) -> None:
    fault = Fault(FaultKind.FAILS, code=int(code))
    scenario = replace(SMALL, clients=1, faults=one_has(fault), max_retry=1)
    results = Simulation(scenario, IN_TURNS).run()
    assert results.failed == 0
    assert results.attempts > results.calls
    alone = replace(scenario, servers=1)
    results = Simulation(alone, IN_TURNS).run()
    assert results.failed == results.calls


def test_error_of_a_handler_is_not_retried() -> None:
    scenario = replace(SMALL, faults=one_has(Fault(FaultKind.FAILS)), max_retry=3)
    results = Simulation(scenario, IN_TURNS).run()
    assert results.attempts == results.calls
    assert results.share_of(FAILED) == pytest.approx(1 / 3, abs=0.1)


def test_call_without_an_answer_fails_at_its_timeout() -> None:
    fault = Fault(FaultKind.BLACK_HOLE)
    scenario = replace(SMALL, clients=1, faults=one_has(fault), timeout_s=0.3, max_retry=3)
    simulation = Simulation(scenario, IN_TURNS)
    results = simulation.run()
    assert results.codes.keys() == {0, int(ErrorCode.ERPCTIMEDOUT)}
    assert results.failed_share == pytest.approx(1 / 3, abs=0.1)
    assert in_flight(simulation) == [0] * 3


def test_backup_request_goes_to_another_server() -> None:
    fault = Fault(FaultKind.BLACK_HOLE)
    scenario = replace(
        SMALL, faults=one_has(fault), timeout_s=0.3, max_retry=1, backup_after_s=0.05
    )
    simulation = Simulation(scenario, IN_TURNS)
    results = simulation.run()
    assert results.failed == 0
    assert results.p99_s < 0.1
    assert results.attempts == pytest.approx(results.calls * 4 / 3, rel=0.1)
    assert in_flight(simulation) == [0] * 6


def test_call_without_a_server_fails() -> None:
    results = Simulation(replace(SMALL, lists=lambda client: [(0.0, ())]), IN_TURNS).run()
    assert results.failed == results.calls > 100
    assert results.p99_s == 0.0


def test_server_that_refuses_connections_is_down_and_dialled() -> None:
    fault = Fault(FaultKind.REFUSES, 0.1, 0.3)
    scenario = replace(SMALL, faults=one_has(fault), max_retry=3, duration_s=2.0)
    simulation = Simulation(scenario, IN_TURNS)
    states: list[set[str]] = []

    def look(_: object) -> None:
        states.append(
            {str(client.channel.router.servers[0].health.state) for client in simulation.clients}
        )

    for when in (0.09, 0.2, 1.0):
        simulation.clock.at(when, look)
    results = simulation.run()
    assert states == [{"up"}, {"down"}, {"up"}]
    assert results.failed == 0
    assert min(results.shares) > 0.2


def test_calls_fail_at_once_while_all_servers_are_down() -> None:
    fault = Fault(FaultKind.REFUSES, 0.1, 0.3)
    scenario = replace(SMALL, faults=lambda *_: [fault], max_retry=3, duration_s=1.0)
    results = Simulation(scenario, IN_TURNS).run()
    assert 0 < results.failed < results.calls / 2
    assert results.steps[1][1] > 0.9 * results.steps[1][0]
    assert [failed for _, failed in results.steps[6:]] == [0] * 5


def test_list_changes_while_calls_are_in_flight() -> None:
    scenario = replace(
        SMALL, lists=lambda client: [(0.0, (0, 1)), (0.2, (1, 2)), (0.3, (2,)), (0.4, (0, 1, 2))]
    )
    simulation = Simulation(scenario, ChannelSettings())
    results = simulation.run()
    assert results.failed == 0
    assert min(results.shares) > 0.0
    assert in_flight(simulation) == [0] * 6


def test_calls_before_the_measurement_do_not_count() -> None:
    results = simulate(replace(SMALL, measured_from=0.25), "rr")
    assert results.calls == pytest.approx(75, abs=30)


def test_percentiles() -> None:
    results = Results([index / 100 for index in range(100)], 100, 0, 100, [1.0])
    assert (results.p50_s, results.p99_s, results.percentile_s(1.0)) == (0.5, 0.99, 0.99)
