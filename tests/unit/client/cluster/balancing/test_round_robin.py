"""rr."""

from __future__ import annotations

import random

from pybrpc.client.cluster.balancing.round_robin import RoundRobin, RoundRobinPicker
from tests.fakes.clusters import new_servers, picks


def test_each_server_has_its_turn_in_the_order_of_the_list() -> None:
    servers = new_servers(3)
    picker = RoundRobinPicker(servers, 1)
    assert [picker.pick((), None, 0.0) for _ in range(6)] == servers[2:] + servers + servers[:2]


def test_turns_of_a_server_that_is_not_usable_are_shared_by_all_others() -> None:
    servers = new_servers(10)
    picker = RoundRobin(random.Random(1)).new_picker(servers)
    servers[4].is_usable = servers[5].is_usable = False
    assert picks(picker, 800) == dict.fromkeys(servers[:4] + servers[6:], 100)


def test_server_that_was_tried_loses_its_turn() -> None:
    servers = new_servers(3)
    picker = RoundRobinPicker(servers)
    assert picker.pick((servers[1],), None, 0.0) is servers[2]
    assert picker.pick((), None, 0.0) is servers[0]


def test_clients_begin_at_different_servers() -> None:
    servers = new_servers(100)
    balancer = RoundRobin(random.Random(1))
    first = {balancer.new_picker(servers).pick((), None, 0.0) for _ in range(50)}
    assert len(first) > 20
