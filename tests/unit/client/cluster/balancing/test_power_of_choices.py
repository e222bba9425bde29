"""p2c_ewma, and in what it differs from p2c. What both share is in test_brpc_p2c.py."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.client.cluster.balancing.power_of_choices import (
    MIN_PUNISH_S,
    P2cSettings,
    PowerOfChoices,
)
from pybrpc.client.cluster.cluster_server import ClusterServer
from tests.fakes.clusters import CalledCluster, attempt, begin, end, new_servers, picks, weighted


def new_picker(servers: list[ClusterServer], name: str = "p2c_ewma", **settings: Any) -> Any:
    return PowerOfChoices(name, P2cSettings(**settings), random.Random(1)).new_picker(servers)


def observed(picker: Any, latency_s: float = 0.01, now: float = 100.0) -> None:
    """One sample for each server."""
    for server in picker.servers:
        begin(picker, server, now - latency_s)
        end(picker, server, now - latency_s, now)


def test_new_server_gets_one_call_until_that_has_ended() -> None:
    servers = new_servers(3)
    picker = new_picker(servers)
    observed(picker)
    newcomer = new_servers(4)[3]
    picker = PowerOfChoices(source=random.Random(1)).new_picker([*servers, newcomer])
    picked = [picker.pick((), None, 100.0) for _ in range(20)]
    assert picked.count(newcomer) > 5
    begin(picker, newcomer, 100.0)
    assert newcomer not in picks(picker, 200)
    end(picker, newcomer, 100.0, 100.01)
    assert newcomer in picks(picker, 50)


def test_new_server_of_p2c_gets_calls_while_the_first_one_runs() -> None:
    servers = new_servers(3)
    picker = new_picker(servers, "p2c")
    observed(picker)
    newcomer = new_servers(4)[3]
    picker = PowerOfChoices("p2c", source=random.Random(1)).new_picker([*servers, newcomer])
    begin(picker, newcomer, 100.0)
    assert newcomer in picks(picker, 50)


def test_calls_of_a_new_cluster_are_spread_before_one_has_ended() -> None:
    servers = new_servers(10)
    picker = new_picker(servers)
    for _ in range(200):
        begin(picker, picker.pick((), None, 100.0), 100.0)
    assert max(server.in_flight for server in servers) <= 25


@pytest.mark.parametrize("outcome", [Outcome.OVERTAKEN, Outcome.NEUTRAL])
def test_attempt_without_a_verdict_is_a_lower_bound(outcome: Outcome) -> None:
    (server,) = new_servers(1)
    picker = new_picker([server])
    begin(picker, server, 100.0)
    end(picker, server, 100.0, 101.0, outcome)
    assert server.load.average_s == 0.0
    observed(picker, 0.01)
    begin(picker, server, 100.0)
    end(picker, server, 100.0, 100.001, outcome)
    assert server.load.average_s == pytest.approx(0.01)
    begin(picker, server, 100.0)
    end(picker, server, 100.0, 100.5, outcome)
    assert server.load.average_s == pytest.approx(0.5)


@pytest.mark.parametrize("outcome", [Outcome.OVERTAKEN, Outcome.NEUTRAL])
def test_attempt_without_a_verdict_says_nothing_to_p2c(outcome: Outcome) -> None:
    (server,) = new_servers(1)
    picker = new_picker([server], "p2c")
    observed(picker, 0.01)
    attempt(picker, server, 100.0, 100.5, outcome)
    assert server.load.average_s == pytest.approx(0.01)


def test_server_that_refuses_counts_as_twice_as_slow() -> None:
    (server,) = new_servers(1)
    picker = new_picker([server], max_punish_s=1.0)
    observed(picker, 0.01)
    found = []
    for _ in range(9):
        attempt(picker, server, 100.0, 100.0001, Outcome.REFUSED, 5.0)
        found.append(server.load.average_s)
    assert found[:3] == pytest.approx([0.02, 0.04, 0.08])
    assert found[-1] == 1.0


def test_server_that_refuses_everything_gets_few_calls() -> None:
    servers = new_servers(2)
    picker = new_picker(servers)
    observed(picker, 0.01)
    for _ in range(20):
        attempt(picker, servers[0], 100.0, 100.0001, Outcome.REFUSED)
    assert servers[0] not in picks(picker, 100)


@pytest.mark.parametrize(
    ("name", "limit_s", "punished_s"),
    [
        ("p2c_ewma", 0.5, 0.5),
        ("p2c_ewma", math.inf, MIN_PUNISH_S),
        ("p2c_ewma", 100.0, 30.0),
        ("p2c", 0.5, 0.5),
        ("p2c", math.inf, 0.02),
    ],
)
def test_failed_attempt_counts_as_its_time_limit(
    name: str, limit_s: float, punished_s: float
) -> None:
    (server,) = new_servers(1)
    picker = new_picker([server], name)
    observed(picker, 0.01)
    attempt(picker, server, 100.0, 100.0, Outcome.FAULT, limit_s)
    assert server.load.average_s == pytest.approx(punished_s)


def test_no_limit_of_the_punishment() -> None:
    (server,) = new_servers(1)
    picker = new_picker([server], max_punish_s=0.0)
    attempt(picker, server, 100.0, 100.0, Outcome.FAULT, 1000.0)
    assert server.load.average_s == 1000.0


def test_punished_server_is_tried_again_after_a_while() -> None:
    good, bad = new_servers(2)
    cluster = CalledCluster(new_picker([good, bad], tau_s=1.0))
    latencies = {good: 0.001, bad: 0.001}
    cluster.count_calls(20, latencies)
    attempt(cluster.picker, bad, cluster.now, cluster.now, Outcome.FAULT, 0.5)
    assert cluster.count_calls(100, latencies)[bad] == 0
    cluster.now += 10.0
    assert cluster.count_calls(100, latencies)[bad] >= 1


def test_weight_of_a_slow_start_is_looked_at_with_each_pick() -> None:
    servers = weighted("1", "1")
    picker = new_picker(servers)
    observed(picker)
    servers[0].weight = 0.1
    assert picks(picker, 100) == {servers[1]: 100}
    servers[0].weight = 2.0
    assert picks(picker, 100) == {servers[0]: 100}
    servers[0].weight = 0.0
    assert picks(picker, 100) == {servers[1]: 100}


@pytest.mark.parametrize("choices", [2, 3, 5])
def test_choices_are_made_of_usable_servers(choices: int) -> None:
    servers = new_servers(40)
    picker = new_picker(servers, choices=choices)
    observed(picker)
    for server in servers[choices + 2 :]:
        server.is_usable = False
    for _ in range(40 * (choices + 2)):
        begin(picker, picker.pick((), None, 100.0), 100.0)
    counts = [server.in_flight for server in servers[: choices + 2]]
    # Calls in flight decide between them: a random choice alone would leave larger differences.
    assert max(counts) - min(counts) <= 10


def test_more_choices_find_the_one_fast_server_more_often() -> None:
    servers = new_servers(50)
    shares = []
    for choices in (2, 10):
        picker = new_picker(servers, choices=choices)
        observed(picker, 0.1)
        servers[7].load.average_s = 0.001
        shares.append(picks(picker, 2000)[servers[7]] / 2000)
    assert shares[0] == pytest.approx(2 / 50, abs=0.02)
    assert shares[1] == pytest.approx(10 / 50, abs=0.05)


def test_attempt_at_a_server_without_figures_ends() -> None:
    picker = new_picker(new_servers(2))
    (foreign,) = new_servers(9)[8:]
    picker.on_begin(foreign, 100.0)
    picker.on_end(foreign, 100.0, 100.1, Outcome.SUCCESS, math.inf)
    assert foreign.load is None


def test_figures_outlive_the_list() -> None:
    servers = new_servers(3)
    balancer = PowerOfChoices(source=random.Random(1))
    observed(balancer.new_picker(servers))
    loads = [server.load for server in servers]
    balancer.new_picker(servers[1:])
    balancer.new_picker(servers)
    assert [server.load for server in servers] == loads
