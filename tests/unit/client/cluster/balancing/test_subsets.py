"""Subsets of the servers."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bench.cluster.subset_loads import loads
from pybrpc.client.cluster.balancing.registry import new_load_balancer
from pybrpc.client.cluster.balancing.subsets import aperture, random_subset, shuffled_subset
from tests.fakes.clusters import new_servers, picks


@pytest.mark.parametrize(("clients", "servers", "size"), [(100, 60, 10), (7, 60, 10), (10, 33, 8)])
def test_apertures_of_all_clients_load_servers_equally(
    clients: int, servers: int, size: int
) -> None:
    assert loads("aperture", clients, servers, size) == pytest.approx([1.0] * servers, abs=0.01)


def test_calls_of_all_apertures_are_equal_within_a_percent() -> None:
    sums = [0.0] * 33
    for client in range(10):
        servers = new_servers(33)
        spec = f"rr:subset=8 client={client} clients=10"
        picker = new_load_balancer(spec, random.Random(client)).new_picker(servers)
        found = picks(picker, 9900)
        for index, server in enumerate(servers):
            sums[index] += found[server]
    assert sums == pytest.approx([3000] * 33, rel=0.01)


def test_random_subsets_are_less_even_than_shuffled_ones() -> None:
    at_random = loads("random", 100, 60, 10)
    shuffled = loads("shuffled", 100, 60, 10)
    assert max(at_random) > 1.3
    assert min(shuffled) >= 0.95
    assert max(shuffled) <= 1.05


def test_parts_of_an_aperture_are_the_least_that_is_wanted() -> None:
    servers = new_servers(60)
    for client in range(7):
        parts = aperture(10, client, 7)(servers)
        assert 10 <= sum(part for _, part in parts) <= 60 / 7 * 2 + 0.001
        assert len({server for server, _ in parts}) == len(parts)


def test_aperture_that_meets_itself_has_each_server_once() -> None:
    servers = new_servers(10)
    for client in range(11):
        parts = aperture(9, client, 11)(servers)
        assert len({server for server, _ in parts}) == len(parts)
        assert sum(part for _, part in parts) == pytest.approx(10 * 10 / 11)


def test_aperture_of_few_servers_is_all_of_them() -> None:
    servers = new_servers(5)
    assert sorted(part for _, part in aperture(5, 3, 4)(servers)) == [1.0] * 5
    assert len(aperture(20, 3, 4)(servers)) == 5
    assert aperture(5, 3, 4)([]) == []


def test_server_that_comes_or_goes_replaces_one_of_a_random_subset() -> None:
    servers = new_servers(50)
    choose = random_subset(10, 7)
    before = {server for server, _ in choose(servers)}
    for gone in servers:
        after = {
            server for server, _ in choose([server for server in servers if server is not gone])
        }
        assert len(before - after) == (1 if gone in before else 0)
    assert before != {server for server, _ in random_subset(10, 8)(servers)}


def test_clients_of_one_round_share_out_all_servers() -> None:
    servers = new_servers(60)
    chosen = [server for client in range(6) for server, _ in shuffled_subset(10, client)(servers)]
    assert len(chosen) == len(set(chosen)) == 60
    assert shuffled_subset(10, 3)(servers) != shuffled_subset(10, 9)(servers)
    assert len(shuffled_subset(10, 3)(servers[:4])) == 4


def test_part_of_a_server_is_its_weight_and_a_slow_start_goes_on() -> None:
    servers = new_servers(33, "2")
    balancer = new_load_balancer("p2c_ewma:subset=8 client=1 clients=10")
    picker: Any = balancer.new_picker(servers)
    part = next(server for server in picker.servers if server.full_weight < 2.0)
    full_weight = part.full_weight
    assert part.weight == full_weight
    part.weight = full_weight / 2
    balancer.new_picker(servers)
    assert part.weight == full_weight / 2
    balancer.new_picker(servers[:9])
    assert (part.full_weight, part.weight) in ((2.0, 1.0), (full_weight, full_weight / 2))
    assert picks(picker, 400).keys() <= set(picker.servers)


def test_round_robin_over_parts_ignores_weights_of_tags() -> None:
    servers = new_servers(5, "1") + new_servers(10, "7")[5:]
    picker = new_load_balancer("rr:subset=5 client=0 clients=2").new_picker(servers)
    found = picks(picker, 1000)
    assert set(found.values()) == {200}
