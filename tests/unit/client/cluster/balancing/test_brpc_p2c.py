"""bRPC's own tests of p2c (test/brpc_p2c_ewma_load_balancer_unittest.cpp), with its numbers.

| test of bRPC | here |
|---|---|
| add_remove_servers | test_add_remove_servers |
| single_server | test_single_server |
| prefers_lower_latency | test_prefers_lower_latency |
| sheds_degraded_server | test_sheds_degraded_server |
| inflight_breaks_ties | test_inflight_breaks_ties |
| weighted_split_by_inflight | test_weighted_split_by_inflight |
| error_feedback_punishes_server | test_error_feedback_punishes_server |
| excluded_servers | test_excluded_servers |
| invalid_parameters | test_invalid_parameters |
| concurrent_select_with_churn | test_concurrent_select_with_churn |
| error_punish_is_capped | test_error_punish_is_capped |
| feedback_lock_overhead | none: there is no lock; test_samples_of_many_threads |

All are for p2c and for p2c_ewma.
"""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer, Outcome
from pybrpc.client.cluster.balancing.registry import new_load_balancer
from tests.fakes.clusters import CalledCluster, begin, end, new_servers, picks, weighted


@pytest.fixture(params=["p2c", "p2c_ewma"])
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def balancer(name: str) -> LoadBalancer:
    return new_load_balancer(name, random.Random(1))


def test_add_remove_servers(balancer: LoadBalancer) -> None:
    assert balancer.new_picker([]).pick((), None, 0.0) is None
    servers = new_servers(3)
    assert balancer.new_picker(servers[:1]).pick((), None, 0.0) is servers[0]
    assert picks(balancer.new_picker(servers), 100).keys() == set(servers)
    assert picks(balancer.new_picker(servers[1:]), 100).keys() == set(servers[1:])
    assert balancer.new_picker([]).pick((), None, 0.0) is None


def test_single_server(balancer: LoadBalancer) -> None:
    (server,) = new_servers(1)
    cluster = CalledCluster(balancer.new_picker([server]))
    assert cluster.count_calls(10, {server: 0.001}) == {server: 10}


def test_prefers_lower_latency(balancer: LoadBalancer) -> None:
    fast, slow = new_servers(2)
    cluster = CalledCluster(balancer.new_picker([fast, slow]))
    assert cluster.count_calls(1000, {fast: 0.001, slow: 0.05})[fast] >= 900


def test_sheds_degraded_server(balancer: LoadBalancer) -> None:
    one, other = new_servers(2)
    cluster = CalledCluster(balancer.new_picker([one, other]))
    cluster.count_calls(20, {one: 0.001, other: 0.0005})
    assert cluster.count_calls(100, {one: 0.001, other: 0.1})[one] >= 90


def test_inflight_breaks_ties(balancer: LoadBalancer) -> None:
    servers = new_servers(2)
    picker = balancer.new_picker(servers)
    first: Any = picker.pick((), None, 0.0)
    begin(picker, first, 0.0)
    second: Any = picker.pick((), None, 0.0)
    assert second is not first
    begin(picker, second, 0.0)
    end(picker, first, 0.0, 0.001)
    end(picker, second, 0.0, 0.001)
    assert picker.pick((), None, 0.001) in servers


def test_weighted_split_by_inflight(name: str) -> None:
    servers = weighted("1", "2", "4")
    picker = new_load_balancer(f"{name}:choices=3", random.Random(1)).new_picker(servers)
    for _ in range(700):
        server: Any = picker.pick((), None, 0.0)
        begin(picker, server, 0.0)
    shares = [server.in_flight / 700 for server in servers]
    assert shares == pytest.approx([1 / 7, 2 / 7, 4 / 7], abs=0.05)


def test_error_feedback_punishes_server(balancer: LoadBalancer) -> None:
    good, bad = new_servers(2)
    cluster = CalledCluster(balancer.new_picker([good, bad]))
    cluster.count_calls(20, {good: 0.001, bad: 0.0005})
    found = cluster.count_calls(100, {good: 0.001, bad: 0.001}, failing=[bad], limit_s=0.1)
    assert found[good] >= 90


def test_excluded_servers(balancer: LoadBalancer) -> None:
    one, other = new_servers(2)
    picker = balancer.new_picker([one, other])
    assert picks(picker, 20, tried=[one]) == {other: 20}
    assert picker.pick((one, other), None, 0.0) is one


@pytest.mark.parametrize("parameters", ["choices=1", "choices=abc", "tau_ms=0", "unknown=1"])
def test_invalid_parameters(name: str, parameters: str) -> None:
    assert new_load_balancer(f"{name}:").name == name
    assert new_load_balancer(f"{name}:choices=4 tau_ms=5000").name == name
    with pytest.raises(ValueError, match=parameters.partition("=")[0]):
        new_load_balancer(f"{name}:{parameters}")


def test_concurrent_select_with_churn(balancer: LoadBalancer) -> None:
    servers = new_servers(8)
    current = [balancer.new_picker(servers)]
    is_over = threading.Event()
    selected: list[int] = []

    def select() -> None:
        count = 0
        while not is_over.is_set() or not count:
            picker = current[0]
            server = picker.pick((), None, 1.0)
            assert server is not None
            begin(picker, server, 1.0)
            end(current[0], server, 1.0, 1.001)
            count += 1
        selected.append(count)

    threads = [threading.Thread(target=select) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(300):
        current[0] = balancer.new_picker(servers[1:])
        current[0] = balancer.new_picker(servers)
    is_over.set()
    for thread in threads:
        thread.join()
    assert len(selected) == 4
    assert [server.in_flight for server in servers] == [0] * 8


def test_error_punish_is_capped(balancer: LoadBalancer) -> None:
    (server,) = new_servers(1)
    cluster = CalledCluster(balancer.new_picker([server]))
    for _ in range(64):
        cluster.call({server: 0.001}, failing=[server], limit_s=0.1)
    assert 1.0 < server.load.average_s <= 30.0


def test_samples_of_many_threads(balancer: LoadBalancer) -> None:
    (server,) = new_servers(1)
    picker = balancer.new_picker([server])

    def feed_back() -> None:
        for _ in range(2000):
            begin(picker, server, 1.0)
            end(picker, server, 1.0, 1.001, Outcome.SUCCESS)

    threads = [threading.Thread(target=feed_back) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.in_flight == 0
    assert server.load.average_s == pytest.approx(0.001)
