"""Clusters whose servers fail, simulated with the Router, breakers and retries of channels.

A check runs a scenario and returns a figure with the limit that it must not exceed. Channels keep
all limits; each mutant, of the router, the breaker or what belongs to it, misses one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import pybrpc.client.cluster.breaking.server_states as states
from bench.cluster import failures, scenarios
from bench.cluster.channel_settings import ChannelSettings, NoBreaker, balancer_alone
from bench.cluster.faults import Fault, FaultKind
from bench.cluster.results import Results
from bench.cluster.scenario import Scenario
from bench.cluster.simulation import Simulation
from pybrpc.client.cluster.breaking.breaker import CircuitBreaker
from pybrpc.client.cluster.breaking.ema_circuit_breaker import EmaCircuitBreaker
from pybrpc.client.cluster.breaking.gates import SlowStart, TrialGate
from pybrpc.client.cluster.breaking.isolation import Isolation
from pybrpc.client.cluster.breaking.outlier_detection import OutlierDetection
from pybrpc.errors import ErrorCode
from pybrpc.server.limiters.auto_limiter import AutoLimiter
from pybrpc.server.limiters.limiter import Limiter
from pybrpc.server.limiters.timeout_limiter import TimeoutLimiter
from tests.fakes import mutant_routers

OVERCROWDED = int(ErrorCode.EOVERCROWDED)
FAILED = int(ErrorCode.EINTERNAL)
REFUSED = int(ErrorCode.ELIMIT)
DOWN = 112

USUAL = ChannelSettings()
IN_TURNS = ChannelSettings("rr")
"""A balancer that does not avoid servers by itself: what is seen is the breaker's work."""

Limits = dict[str, tuple[float, float]]
"""For each figure: what was found, and the limit."""
Check = Callable[[ChannelSettings, int], Limits]


def misses(limits: Limits) -> list[str]:
    return [
        f"{name}: {found:g} > {limit:g}" for name, (found, limit) in limits.items() if found > limit
    ]


def run(scenario: Scenario, settings: ChannelSettings, seed: int, **changes: Any) -> Results:
    return Simulation(replace(scenario, **changes), settings, seed).run()


# --- the bars ---


def one_slow(settings: ChannelSettings, seed: int) -> Limits:
    """One of 10 servers is 20 times slower."""
    slow = replace(scenarios.one_slow(20.0, 10, 0.0), duration_s=1.2, measured_from=0.2)
    with_it = run(slow, settings, seed).p99_s
    without = run(slow, settings, seed, faults=lambda *_: ()).p99_s
    return {"p99 with a slow server": (with_it / without, 1.5)}


def one_fails(settings: ChannelSettings, seed: int) -> Limits:
    """... fails at once: after a second, without retries."""
    found = run(scenarios.broken(), settings, seed, rate=2000.0, duration_s=3.0, measured_from=1.0)
    return {"failed calls": (found.failed_share, 0.001)}


def one_flaps(settings: ChannelSettings, seed: int) -> Limits:
    """... fails in every second second."""
    scenario = scenarios.broken(FaultKind.FLAPS)
    found = run(scenario, settings, seed, rate=2000.0, duration_s=4.0, measured_from=1.0)
    return {"failed calls": (found.failed_share, 0.001)}


def one_answers_nothing(settings: ChannelSettings, seed: int) -> Limits:
    """... never answers: after one timeout."""
    scenario = scenarios.broken(FaultKind.BLACK_HOLE)
    found = run(scenario, settings, seed, rate=2000.0, duration_s=2.5, measured_from=0.5)
    return {"calls that time out": (found.failed_share, 0.001)}


def rolling_restart(settings: ChannelSettings, seed: int) -> Limits:
    """All of 20 servers are restarted, one each half second, at 70 % load."""
    scenario = failures.rolling_restart(20, 0.5, 3500.0)
    found = run(scenario, settings, seed, slots=1)
    return {
        "failed calls": (found.failed, 0),
        "attempts per call": (found.attempts / found.calls, 1.02),
        "p99": (found.p99_s, 0.060),
        "share of the last one's load that is missing": (0.035 - min(found.shares), 0.0),
    }


def storm(settings: ChannelSettings, seed: int) -> Limits:
    """All servers are too busy: retries must not make it much worse."""
    scenario = failures.all_fail(OVERCROWDED, begin=0.5, end=3.5)
    found = run(scenario, settings, seed, duration_s=3.4, measured_from=1.0)
    # A client may have a whole token left from before.
    return {"attempts per call": ((found.attempts - scenario.clients) / found.calls, 1.2)}


def panic(settings: ChannelSettings, seed: int) -> Limits:
    """All servers fail, and any number may be ejected: they serve nevertheless."""
    scenario = replace(failures.all_fail(FAILED, begin=0.5, end=1.5), clients=2)
    breaker = settings.breaker
    if isinstance(breaker, OutlierDetection):
        settings = replace(settings, breaker=replace(breaker, max_ejected=1.0))
    found = run(scenario, settings, seed, duration_s=3.0)
    after = sum(failed for _, failed in found.steps[15:])
    return {
        "calls without a server": (found.codes.get(DOWN, 0), 0),
        "failed calls after the fault": (after, 0),
    }


def refused_elsewhere(settings: ChannelSettings, seed: int) -> Limits:
    """One of two servers refuses all calls."""
    scenario = scenarios.broken(FaultKind.FAILS, 2)
    found = run(
        scenario,
        settings,
        seed,
        rate=500.0,
        duration_s=1.0,
        max_retry=1,
        faults=lambda index, source: [Fault(FaultKind.FAILS, code=REFUSED)] if index == 0 else (),
    )
    return {"failed calls": (found.failed, 0)}


def no_place_to_go(settings: ChannelSettings, seed: int) -> Limits:
    """The only server refuses all calls: a retry is of no use."""
    scenario = replace(failures.all_fail(REFUSED, 1, 0.0, 1.0), duration_s=1.0, rate=200.0)
    found = run(scenario, settings, seed)
    return {"attempts per call": (found.attempts / found.calls, 1.0)}


def comes_back(settings: ChannelSettings, seed: int) -> Limits:
    """A server that has failed for half a second gets its share again, but not at once."""
    fault = Fault(FaultKind.FAILS, 0.5, 1.0)
    scenario = replace(
        scenarios.broken(),
        rate=2000.0,
        duration_s=12.0,
        faults=lambda index, source: [fault] if index == 0 else (),
    )
    simulation = Simulation(scenario, replace(settings, load_balancer="rr"), seed)
    at: list[tuple[int, int]] = []

    def look(_: object) -> None:
        received = [server.received for server in simulation.servers]
        at.append((received[0], sum(received)))

    for when in (1.0, 2.0, 9.0, 12.0):
        simulation.clock.at(when, look)
    simulation.run()
    early, _, late = (
        (after[0] - before[0]) / (after[1] - before[1]) for before, after in itertools.pairwise(at)
    )
    return {"share at first": (early, 0.04), "share missing later": (0.1 - late, 0.01)}


def trials_cost_little(settings: ChannelSettings, seed: int) -> Limits:
    """A server that never answers is tried again and again; with a balancer that does not avoid
    it."""
    scenario = scenarios.broken(FaultKind.BLACK_HOLE)
    found = run(
        scenario,
        replace(settings, load_balancer="rr"),
        seed,
        rate=2000.0,
        duration_s=3.5,
        measured_from=1.0,
    )
    return {"calls that time out": (found.failed_share, 0.002)}


def one_fails_in_turns(settings: ChannelSettings, seed: int) -> Limits:
    """As `one_fails`, with a balancer that does not avoid it."""
    return one_fails(replace(settings, load_balancer="rr"), seed)


CHECKS: tuple[Check, ...] = (
    one_slow,
    one_fails,
    one_flaps,
    one_answers_nothing,
    rolling_restart,
    storm,
    panic,
    refused_elsewhere,
    no_place_to_go,
    comes_back,
    trials_cost_little,
    one_fails_in_turns,
)


def named(function: Any) -> str:
    return str(getattr(function, "__name__", function))


@pytest.mark.parametrize("check", CHECKS, ids=named)
def test_channel_keeps_the_limits(check: Check) -> None:
    assert misses(check(USUAL, 1)) == []


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(2, 7))
@pytest.mark.parametrize("check", CHECKS, ids=named)
def test_channel_keeps_the_limits_whatever_the_dice(check: Check, seed: int) -> None:
    assert misses(check(USUAL, seed)) == []


# --- servers with limiters (the bars for overload) ---


@pytest.mark.parametrize("new_limiter", [AutoLimiter, TimeoutLimiter])
def test_cluster_with_limiters_under_overload(new_limiter: Callable[[], Limiter]) -> None:
    results = run(failures.overloaded(2.0, new_limiter), USUAL, 1, duration_s=3.0)
    assert results.in_time_per_s >= 0.9 * 10 * 8 / 0.010
    assert results.attempts <= 1.21 * results.calls
    assert 0.4 < results.share_of(REFUSED) < 0.55


@pytest.mark.parametrize("new_limiter", [AutoLimiter, TimeoutLimiter])
def test_cluster_with_limiters_at_90_percent(new_limiter: Callable[[], Limiter]) -> None:
    scenario = failures.overloaded(0.9, new_limiter, max_retry=0)
    results = run(scenario, USUAL, 1, duration_s=3.0)
    assert results.share_of(REFUSED) < 0.02
    assert results.in_time_per_s >= 0.85 * 10 * 8 / 0.010


def test_cluster_without_limiters_answers_nothing_in_time() -> None:
    results = run(failures.overloaded(2.0, lambda: None), USUAL, 1, duration_s=3.0)
    assert results.in_time_per_s < 0.1 * 10 * 8 / 0.010


# --- what breakers are good for, and names that change ---


def failed_share(settings: ChannelSettings, kind: FaultKind = FaultKind.FAILS) -> float:
    scenario = scenarios.broken(kind)
    return run(scenario, settings, 1, rate=2000.0, duration_s=3.0, measured_from=1.0).failed_share


def test_breaker_helps_a_balancer_that_does_not_look() -> None:
    without = failed_share(balancer_alone("rr"))
    assert without == pytest.approx(0.1, abs=0.01)
    assert failed_share(IN_TURNS) < 0.001


def test_ema_breaker_as_in_brpc_leaves_a_server_in_that_fails_at_once() -> None:
    ema = ChannelSettings("rr", EmaCircuitBreaker())
    scenario = replace(scenarios.broken(), clients=10)
    results = run(scenario, ema, 1, rate=2000.0, duration_s=3.0, measured_from=1.0)
    assert results.failed_share > 0.05


def test_names_that_change_fail_no_call() -> None:
    results = run(failures.changing_names(), USUAL, 1)
    assert results.calls > 3000
    assert results.failed == 0
    assert results.attempts == results.calls


@pytest.mark.proof
def test_many_servers_and_clients() -> None:
    scenario = failures.large(100, 1000, 10)
    results = run(scenario, USUAL, 1, duration_s=2.5)
    failed = [failed / calls for calls, failed in results.steps[:-1]]
    assert sum(failed[:8]) == 0.0
    assert max(failed) < 0.05
    assert results.share_of(DOWN) == 0.0
    assert results.p50_s < 0.060


# --- mutants: each must miss a limit ---


class NeverEjects(OutlierDetection):
    def new_server_breaker(self) -> Any:
        return NoBreaker().new_server_breaker()


ROUTERS = {
    mutant_routers.PicksAtRandom: one_slow,
    mutant_routers.IgnoresTried: refused_elsewhere,
    mutant_routers.TakesAllForSuccess: one_fails,
    mutant_routers.RetriesWithoutBudget: storm,
    mutant_routers.NeverRetries: rolling_restart,
    mutant_routers.NeverGoesElsewhere: refused_elsewhere,
    mutant_routers.GoesElsewhereInVain: no_place_to_go,
}


@pytest.mark.parametrize("mutant", ROUTERS, ids=named)
def test_mutant_of_the_router_misses_a_limit(mutant: Any) -> None:
    assert misses(ROUTERS[mutant](replace(USUAL, router=mutant), 1))


def _nothing(*arguments: Any) -> None: ...


def _true(*arguments: Any) -> bool:
    return True


BREAKERS: dict[str, tuple[CircuitBreaker, Check]] = {
    "never ejects": (NeverEjects(), one_fails_in_turns),
    "panics never": (
        OutlierDetection(panic_below=0.0),
        lambda settings, seed: panic(replace(settings, load_balancer="rr"), seed),
    ),
    "no slow start": (OutlierDetection(slow_start=0.0), comes_back),
    "long isolation": (OutlierDetection(isolation=20.0), comes_back),
}

PATCHES: dict[str, tuple[Any, str, Any, Check]] = {
    "a trial never ends": (states.ServerStates, "end_trial", _nothing, comes_back),
    "no trial begins": (states.ServerStates, "_begin_trials", _nothing, comes_back),
    "nobody is ejected": (states.ServerStates, "eject", _nothing, one_fails_in_turns),
    "a slow start admits all": (SlowStart, "admits", _true, comes_back),
    "a trial admits all": (TrialGate, "admits", _true, trials_cost_little),
    "each isolation is short": (
        Isolation,
        "begin",
        lambda isolation, now: 0.02,
        one_fails_in_turns,
    ),
    "logging off is ignored": (states.ServerStates, "log_off", _nothing, rolling_restart),
    "down is ignored": (states.ServerStates, "set_down", _nothing, rolling_restart),
    "down for ever": (states.ServerStates, "set_reachable", _nothing, rolling_restart),
    "loads are not forgotten": (states, "_forget_load", _nothing, rolling_restart),
}


@pytest.mark.parametrize("name", BREAKERS)
def test_mutant_of_the_breaker_misses_a_limit(name: str) -> None:
    breaker, check = BREAKERS[name]
    assert misses(check(replace(USUAL, breaker=breaker), 1))


@pytest.mark.parametrize("name", PATCHES)
def test_mutant_of_the_states_misses_a_limit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, attribute, value, check = PATCHES[name]
    monkeypatch.setattr(owner, attribute, value)
    assert misses(check(USUAL, 1))
