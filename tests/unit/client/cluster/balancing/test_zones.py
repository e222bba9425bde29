"""Zone preference."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pybrpc.client.cluster.balancing.registry import new_load_balancer
from pybrpc.client.cluster.cluster_server import ClusterServer
from tests.fakes.clusters import begin, end, new_servers, picks


def zoned(near: int, far: int) -> list[ClusterServer]:
    return new_servers(near, "zone=a") + new_servers(near + far, "zone=b")[near:]


def new_picker(spec: str, servers: list[ClusterServer]) -> Any:
    return new_load_balancer(spec, random.Random(1)).new_picker(servers)


def share_of(found: Any, servers: list[ClusterServer]) -> float:
    return sum(found[server] for server in servers) / sum(found.values())


def test_calls_stay_in_the_zone() -> None:
    servers = zoned(4, 6)
    assert picks(new_picker("rr:zone=a", servers), 400) == dict.fromkeys(servers[:4], 100)


@pytest.mark.parametrize(("usable", "share"), [(8, 1.0), (5, 0.7), (2, 0.28), (0, 0.0)])
def test_calls_leave_a_zone_of_which_few_servers_are_usable(usable: int, share: float) -> None:
    servers = zoned(10, 10)
    for server in servers[usable:10]:
        server.is_usable = False
    found = picks(new_picker("random:zone=a", servers), 4000)
    assert share_of(found, servers[:10]) == pytest.approx(share, abs=0.03)


def test_zone_with_more_clients_than_servers_gets_fewer_calls() -> None:
    servers = zoned(2, 8)
    found = picks(new_picker("rr:zone=a zone_clients=0.4", servers), 4000)
    assert share_of(found, servers[:2]) == pytest.approx(0.5, abs=0.03)
    found = picks(new_picker("rr:zone=a zone_clients=0.1", servers), 100)
    assert share_of(found, servers[:2]) == 1.0


def test_retry_leaves_the_zone_when_all_of_it_was_tried() -> None:
    servers = zoned(2, 2)
    picker = new_picker("p2c_ewma:zone=a", servers)
    assert picker.pick((servers[0],), None, 0.0) is servers[1]
    assert picker.pick((servers[0], servers[1]), None, 0.0) in servers[2:]
    assert picker.pick(tuple(servers), None, 0.0) in servers


@pytest.mark.parametrize(("near", "far"), [(0, 3), (3, 0)])
def test_only_zone_gets_all_calls(near: int, far: int) -> None:
    servers = zoned(near, far)
    assert picks(new_picker("rr:zone=a", servers), 30) == dict.fromkeys(servers, 10)


def test_unknown_zone_is_one_without_servers() -> None:
    servers = zoned(2, 2)
    assert picks(new_picker("rr:zone=c", servers), 40) == dict.fromkeys(servers, 10)


def test_key_keeps_its_server_when_the_zone_gets_a_part_of_the_calls() -> None:
    servers = zoned(3, 7)
    picker = new_picker("c_md5:zone=a zone_clients=0.6", servers)
    first = [picker.pick((), key * 2654435761 % 2**32, 0.0) for key in range(1000)]
    assert [picker.pick((), key * 2654435761 % 2**32, 9.0) for key in range(1000)] == first
    near = sum(server in servers[:3] for server in first) / 1000
    assert near == pytest.approx(0.5, abs=0.05)


def test_usable_servers_are_counted_again_after_a_while() -> None:
    servers = zoned(2, 2)
    picker = new_picker("rr:zone=a", servers)
    assert picker.pick((), None, 1.0) in servers[:2]
    servers[0].is_usable = servers[1].is_usable = False
    assert picker.pick((), None, 1.05) in servers[2:]
    servers[0].is_usable = servers[1].is_usable = True
    assert picker.pick((), None, 1.2) in servers[:2]


def test_ends_of_attempts_reach_the_balancer_of_the_zone() -> None:
    servers = zoned(2, 2)
    picker = new_picker("c_murmurhash_bl:zone=a", servers)
    for server in servers:
        begin(picker, server, 1.0)
    assert [part._in_flight.get() for part in (picker._near, picker._far)] == [2, 2]
    for server in servers:
        end(picker, server, 1.0, 1.1)
    assert [part._in_flight.get() for part in (picker._near, picker._far)] == [0, 0]
