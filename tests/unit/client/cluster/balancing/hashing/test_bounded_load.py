"""c_murmurhash_bl: a ring on which no server gets much more than the mean."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer
from pybrpc.client.cluster.balancing.registry import new_load_balancer
from pybrpc.client.cluster.cluster_server import ClusterServer
from tests.fakes.clusters import begin, end, new_servers

KEY = 123456789


def bounded(load_factor: float = 1.25) -> LoadBalancer:
    return new_load_balancer(f"c_murmurhash_bl:load_factor={load_factor}")


def begin_calls(picker: Any, count: int, key: int = KEY) -> list[ClusterServer]:
    found = []
    for _ in range(count):
        server = picker.pick((), key, 0.0)
        begin(picker, server, 0.0)
        found.append(server)
    return found


def test_key_keeps_its_server_while_that_is_below_the_bound() -> None:
    servers = new_servers(4)
    picker = bounded().new_picker(servers)
    plain = new_load_balancer("c_murmurhash").new_picker(servers)
    for key in range(0, 2**32, 2**27):
        assert picker.pick((), key, 0.0) is plain.pick((), key, 0.0)


def test_calls_beyond_the_bound_go_to_the_next_server_on_the_ring() -> None:
    servers = new_servers(4)
    picker = bounded().new_picker(servers)
    plain = new_load_balancer("c_murmurhash").new_picker(servers)
    first: Any = plain.pick((), KEY, 0.0)
    second: Any = plain.pick((first,), KEY, 0.0)
    # ceil(1.25 * calls / 4) calls at most, this one included: 1 up to three calls, 2 up to six.
    assert begin_calls(picker, 2) == [first, second]
    assert [server.in_flight for server in servers if server not in (first, second)] == [0, 0]
    third, fourth = begin_calls(picker, 2)
    assert third not in (first, second)
    assert fourth is first


def test_bound_holds_for_one_hot_key() -> None:
    servers = new_servers(10)
    picker = bounded(1.5).new_picker(servers)
    begin_calls(picker, 1000)
    assert max(server.in_flight for server in servers) == 150


def test_every_attempt_is_counted_down_once_also_after_removal() -> None:
    servers = new_servers(4)
    balancer = bounded()
    picker = balancer.new_picker(servers)
    begun = begin_calls(picker, 40)
    others = balancer.new_picker(servers[2:])
    for server in begun:
        end(others, server, 0.0, 0.1)
    assert [server.in_flight for server in servers] == [0] * 4
    fresh = new_servers(4)[2:]
    expected = begin_calls(bounded().new_picker(fresh), 30)
    found = begin_calls(others, 30)
    assert [server.node for server in found] == [server.node for server in expected]
    assert {server.in_flight for server in servers[2:]} == {11, 19}


def test_all_full_means_the_first_on_the_ring() -> None:
    servers = new_servers(3)
    picker = bounded().new_picker(servers)
    plain = new_load_balancer("c_murmurhash").new_picker(servers)
    first: Any = plain.pick((), KEY, 0.0)
    for server in servers:
        for _ in range(50):  # As those of another Picker would be: they are not in the mean.
            server.begin()
    assert picker.pick((), KEY, 0.0) is first
    assert picker.pick((first,), KEY, 0.0) is plain.pick((first,), KEY, 0.0)


def test_bound_is_for_the_usable_servers() -> None:
    servers = new_servers(10)
    picker = bounded().new_picker(servers)
    for server in servers[2:]:
        server.is_usable = False
    begin_calls(picker, 100)
    assert sorted(server.in_flight for server in servers[:2]) == [37, 63]


def test_usable_servers_are_counted_again_after_a_while() -> None:
    servers = new_servers(10)
    picker: Any = bounded().new_picker(servers)
    assert picker.pick((), KEY, 5.0) is not None
    for server in servers[2:]:
        server.is_usable = False
    for now in (5.05, 5.2):
        for _ in range(100):
            server = picker.pick((), KEY, now)
            begin(picker, server, now)
    assert max(server.in_flight for server in servers) == pytest.approx(125, abs=1)
