"""Clusters with slow, new and broken servers, simulated: what callers see with each balancer.

Each claim is a function that gives a figure; a test compares it with its bound, and another test
shows that a mutant misses the bound. (1), (2), ... are the numbers of part 9.3 of the research that
the clusters were built after; (4) and (9) are in test_simulated_failures.py, (6) is with the
limiters, and (7) is about probes, which there are none of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from errno import ECONNREFUSED

import pytest

from bench.cluster import scenarios
from bench.cluster.channel_settings import ChannelSettings, balancer_alone
from bench.cluster.faults import Fault, FaultKind
from bench.cluster.scenario import Scenario
from bench.cluster.simulation import Simulation
from pybrpc.client.cluster.balancing.registry import new_load_balancer
from pybrpc.errors import ErrorCode
from tests.fakes.mutant_balancers import Learn, MutantBalancer, blind_to_faults, inverted

P2C_EWMA = balancer_alone("p2c_ewma")


def mutant(learn: Learn) -> ChannelSettings:
    return balancer_alone(
        lambda source: MutantBalancer(new_load_balancer("p2c_ewma", source), learn)
    )


def p99_s(scenario: Scenario, routing: ChannelSettings, duration_s: float = 1.5) -> float:
    shorter = replace(scenario, duration_s=duration_s, measured_from=0.2)
    return Simulation(shorter, routing).run().p99_s


# --- (1) one slow server ---


@pytest.mark.proof
def test_one_slow_server_of_20_does_not_make_calls_slow() -> None:
    steady = p99_s(scenarios.STEADY, P2C_EWMA)
    slow = scenarios.one_slow()
    assert p99_s(slow, P2C_EWMA) <= 2 * steady
    assert p99_s(slow, balancer_alone("rr")) > 20 * steady
    assert p99_s(slow, mutant(inverted)) > 2 * steady


def ratio_with_one_slow_of_10(routing: ChannelSettings, begin: float) -> float:
    """p99 with one server that becomes 20 times slower, by p99 without."""
    slow = scenarios.one_slow(20.0, 10, begin)
    return p99_s(slow, routing, 1.2) / p99_s(replace(slow, faults=lambda *_: ()), routing, 1.2)


@pytest.mark.proof
@pytest.mark.parametrize("begin", [0.0, 0.5])
def test_server_20_times_slower_makes_p99_at_most_half_longer(begin: float) -> None:
    assert ratio_with_one_slow_of_10(P2C_EWMA, begin) <= 1.5


@pytest.mark.proof
def test_mutant_makes_p99_more_than_half_longer() -> None:
    assert ratio_with_one_slow_of_10(mutant(inverted), 0.0) > 1.5
    assert ratio_with_one_slow_of_10(balancer_alone("rr"), 0.0) > 1.5


# --- (2) a newcomer that hangs ---


def share_of_newcomer(others: int, routing: ChannelSettings) -> float:
    scenario = replace(scenarios.newcomer(others), rate=2000.0)
    return Simulation(scenario, routing).run().shares[-1]


@pytest.mark.parametrize("others", [2, 9])
def test_newcomer_that_hangs_gets_few_calls(others: int) -> None:
    assert share_of_newcomer(others, P2C_EWMA) <= 0.02


@pytest.mark.parametrize("others", [2, 9])
@pytest.mark.parametrize("spec", ["p2c", "rr"])
def test_newcomer_gets_many_calls_of_balancers_without_the_penalty(others: int, spec: str) -> None:
    assert share_of_newcomer(others, balancer_alone(spec)) > 0.05


# --- (3) servers that fail at once, or never answer ---


def failed_share(kind: FaultKind, routing: ChannelSettings, after_s: float) -> float:
    scenario = replace(
        scenarios.broken(kind), rate=2000.0, duration_s=after_s + 1.0, measured_from=after_s
    )
    return Simulation(scenario, routing).run().failed_share


def test_server_that_fails_at_once_fails_a_hundredth_of_the_calls_after_200() -> None:
    assert failed_share(FaultKind.FAILS, P2C_EWMA, 0.1) <= 0.01


@pytest.mark.parametrize("kind", [FaultKind.FAILS, FaultKind.FLAPS])
def test_server_that_fails_at_once_fails_a_thousandth_of_the_calls_after_a_second(
    kind: FaultKind,
) -> None:
    assert failed_share(kind, P2C_EWMA, 1.0) < 0.001


def test_black_hole_fails_a_thousandth_of_the_calls_after_one_timeout() -> None:
    assert failed_share(FaultKind.BLACK_HOLE, P2C_EWMA, 0.5) < 0.001


def test_mutant_sends_most_calls_to_the_server_that_fails_at_once() -> None:
    assert failed_share(FaultKind.FAILS, mutant(blind_to_faults), 0.1) > 0.1
    assert failed_share(FaultKind.FAILS, balancer_alone("rr"), 0.1) > 0.05


# --- (8) bounded load ---


def load_of_fullest(spec: str) -> float:
    """Calls in flight of the fullest server by the mean of all, on average over time."""
    scenario = replace(scenarios.hot_keys(), rate=12_000.0, duration_s=0.4)
    simulation = Simulation(scenario, balancer_alone(spec))
    ratios: list[float] = []
    servers = simulation.clients[0].channel.router.servers

    def look(_: object) -> None:
        in_flight = [server.in_flight for server in servers]
        ratios.append(max(in_flight) * len(in_flight) / sum(in_flight))

    for step in range(100, 400, 2):
        simulation.clock.at(step / 1000, look)
    simulation.run()
    return sum(ratios) / len(ratios)


@pytest.mark.parametrize("load_factor", [1.25, 1.5, 2])
def test_fullest_server_of_bounded_load_is_near_the_bound(load_factor: float) -> None:
    found = load_of_fullest(f"c_murmurhash_bl:load_factor={load_factor}")
    assert load_factor - 0.3 <= found <= load_factor + 0.15


def test_fullest_server_without_a_bound_has_several_times_the_mean() -> None:
    assert load_of_fullest("c_murmurhash") > 2.5


# --- A cluster that comes back (revived_from_all_failed_intergrated of bRPC) ---


def failures_of_revival(spec: str) -> tuple[Mapping[int, int], int]:
    """The codes of calls, and how many of those of the last second have failed.

    1000 calls per second, of 100 ms each, to two servers with 70 slots and a timeout of 300 ms,
    which can be reached after 0.5 and 1.2 s.
    """
    scenario = Scenario(
        "a cluster comes back",
        2,
        70,
        1,
        1000.0,
        4.5,
        lambda source: 0.1,
        lambda index, source: [Fault(FaultKind.REFUSES, 0.0, (0.5, 1.2)[index])],
        timeout_s=0.3,
    )
    results = Simulation(scenario, balancer_alone(spec)).run()
    return results.codes, sum(failed for _, failed in results.steps[35:])


@pytest.mark.parametrize("balancer", ["rr", "random"])
def test_revived_from_all_failed(balancer: str) -> None:
    codes, failed_last = failures_of_revival(f"{balancer}:min_working_instances=2 hold_seconds=2")
    assert codes.keys() == {0, ErrorCode.EREJECT, ErrorCode.EHOSTDOWN, ECONNREFUSED}
    # One call finds each of the servers down, and one finds none; recovery begins with it.
    assert (codes[ECONNREFUSED], codes[ErrorCode.EHOSTDOWN]) == (2, 1)
    assert failed_last == 0
    assert codes[0] > 2500


def test_first_server_that_comes_back_is_overrun_without_recovery() -> None:
    codes, _ = failures_of_revival("rr")
    assert codes.keys() == {0, ErrorCode.ERPCTIMEDOUT, ErrorCode.EHOSTDOWN, ECONNREFUSED}
    assert codes[ErrorCode.ERPCTIMEDOUT] > 100


# --- Every scenario of the table, with every balancer ---


@pytest.mark.proof
@pytest.mark.parametrize("spec", ["rr", "random", "la", "p2c", "p2c_ewma"])
@pytest.mark.parametrize(
    "scenario",
    [scenarios.STEADY, scenarios.half_slow(), scenarios.antagonists(), scenarios.one_slow()],
    ids=lambda scenario: scenario.name[0],
)
def test_all_calls_are_answered(spec: str, scenario: Scenario) -> None:
    shorter = replace(scenario, duration_s=0.5, clients=3)
    results = Simulation(shorter, balancer_alone(spec)).run()
    assert results.failed == 0
    assert results.calls > 0.9 * shorter.rate * 0.5
    assert min(results.shares) > 0.0


ADAPTIVE: dict[str, Callable[[], Scenario]] = {
    "C": scenarios.half_slow,
    "E": scenarios.antagonists,
}


@pytest.mark.proof
@pytest.mark.parametrize("name", ADAPTIVE)
def test_p2c_ewma_is_far_better_than_round_robin_with_uneven_servers(name: str) -> None:
    scenario = ADAPTIVE[name]()
    assert p99_s(scenario, P2C_EWMA) < p99_s(scenario, balancer_alone("rr")) / 2
