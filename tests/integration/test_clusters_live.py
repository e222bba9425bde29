"""Clusters of real server processes that misbehave: what callers notice, in counts.

A slow machine makes all servers slower, and the tests longer, but changes no count that is judged.
"""

from __future__ import annotations

import dataclasses

import pytest

from bench.cluster_live.callers import Client
from bench.cluster_live.scenarios import (
    SCENARIOS,
    Found,
    Load,
    Scenario,
    everything,
    everything_but_a_hole,
    restart,
    run,
)

pytestmark = [pytest.mark.proof, pytest.mark.same_everywhere]

P2C_EWMA = Client("pybrpc", "p2c_ewma")
LOAD = Load(per_s=400, before=800, during=4000, timeout_s=5)
MANY = dataclasses.replace(LOAD, during=12_000)
"""A bad server gets a call now and then, to see how it is: less than 0.1 % of these."""


def share_of_first(ran: list[int]) -> float:
    return ran[0] / sum(ran)


def assert_attempts_are_counted(found: Found) -> None:
    """The handlers that ran are attempts; some attempts reach no handler, or one that was killed
    with its count."""
    outcome = found.outcome
    assert outcome.attempts >= outcome.calls
    assert sum(found.ran_before) + sum(found.ran) <= outcome.attempts


def test_server_that_is_20_times_slower_gets_less_than_one_call_in_a_hundred() -> None:
    """So the slowest hundredth of the calls, which is p99, is not its own."""
    load = dataclasses.replace(LOAD, service_s=0.025)
    found = run(SCENARIOS["one 20 times slower"], P2C_EWMA, load)
    assert share_of_first(found.ran_before) > 0.02
    assert share_of_first(found.ran) < 0.01
    others = found.ran[1:]
    assert max(others) < 2 * sum(others) / len(others)
    assert found.outcome.failed == 0
    assert_attempts_are_counted(found)


@pytest.mark.parametrize("name", ["one fails at once", "one black hole"])
def test_callers_hardly_notice_a_bad_server_after_a_second_or_a_timeout(name: str) -> None:
    outcome = run(SCENARIOS[name], P2C_EWMA, MANY).outcome
    assert outcome.failed > outcome.after.failed
    assert outcome.after.failed <= 0.001 * outcome.after.calls
    assert outcome.attempts == outcome.calls  # There were no retries.


def test_no_call_fails_while_all_servers_are_restarted() -> None:
    scenario = Scenario("restart", restart, servers=20, alone=0)
    found = run(scenario, P2C_EWMA, dataclasses.replace(LOAD, retries=True))
    assert found.outcome.failed == 0
    assert min(found.ran) > 0
    assert_attempts_are_counted(found)


def test_no_call_fails_that_another_server_could_serve() -> None:
    """One server is slow, one fails at once, one is killed again and again, all others are
    restarted, and the list changes."""
    scenario = dataclasses.replace(SCENARIOS["all of these, 20"], deed=everything_but_a_hole)
    found = run(scenario, P2C_EWMA, dataclasses.replace(LOAD, retries=True))
    assert found.outcome.failed == 0, found.outcome.errors
    assert found.outcome.attempts > found.outcome.calls


def test_only_calls_that_a_black_hole_has_swallowed_fail_in_the_worst_cluster() -> None:
    """A backup request saves them too, unless it meets another server that fails."""
    assert SCENARIOS["all of these, 20"].deed is everything
    found = run(SCENARIOS["all of these, 20"], P2C_EWMA, dataclasses.replace(LOAD, retries=True))
    assert set(found.outcome.errors) <= {"ERPCTIMEDOUT"}
    assert found.outcome.failed <= 0.002 * found.outcome.calls
    assert found.outcome.attempts > found.outcome.calls
