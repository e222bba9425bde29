"""All balancers of the registry keep the contract of `Picker`, alone and in their wrappers."""

from __future__ import annotations

import random
import threading
from collections import Counter

import pytest

from pybrpc.client.cluster.balancing.load_balancer import Outcome, Picker
from pybrpc.client.cluster.balancing.registry import KINDS, new_load_balancer
from pybrpc.client.cluster.cluster_server import ClusterServer
from tests.fakes.clusters import begin, end, new_servers

SPECS = [
    *(name for name in KINDS if name != "maglev"),
    "maglev:table_size=251",
    "p2c:choices=5",
    "rr:zone=a",
    "c_md5:zone=a zone_clients=0.5",
    "p2c_ewma:subset=8 client=1 clients=2",
    "rr:subset=8 client=1 clients=3",
    "random:min_working_instances=2 hold_seconds=2",
]


def new_picker(spec: str, servers: list[ClusterServer], seed: int = 1) -> Picker:
    picker = new_load_balancer(spec, random.Random(seed)).new_picker(servers)
    return picker


def servers_for(count: int) -> list[ClusterServer]:
    """Half of them in zone a, all with a weight."""
    return new_servers(count // 2, "1 zone=a") + list(new_servers(count, "1")[count // 2 :])


def keys(count: int) -> list[int]:
    return [index * 2654435761 % 2**32 for index in range(count)]


@pytest.mark.parametrize("spec", SPECS)
def test_no_server_is_picked_from_an_empty_list(spec: str) -> None:
    picker = new_picker(spec, [])
    assert picker.pick((), 1, 0.0) is None
    assert list(picker.servers) == []


@pytest.mark.parametrize("spec", SPECS)
def test_picked_server_is_usable_and_not_tried(spec: str) -> None:
    servers = servers_for(12)
    picker = new_picker(spec, servers)
    listed = list(picker.servers)
    for server in listed[::3]:
        server.is_usable = False
    tried = (listed[1],)
    for key in keys(100):
        picked = picker.pick(tried, key, 0.0)
        assert picked in listed
        assert picked.is_usable
        assert picked is not listed[1]


@pytest.mark.parametrize("spec", SPECS)
def test_tried_server_is_picked_if_no_other_is_usable(spec: str) -> None:
    servers = servers_for(6)
    picker = new_picker(spec, servers)
    for server in picker.servers[1:]:
        server.is_usable = False
    only = picker.servers[0]
    assert {picker.pick((only,), key, 0.0) for key in keys(20)} == {only}
    assert {picker.pick((), key, 0.0) for key in keys(20)} == {only}


@pytest.mark.parametrize("spec", SPECS)
def test_nothing_is_picked_if_none_is_usable(spec: str) -> None:
    servers = servers_for(6)
    picker = new_picker(spec, servers)
    for server in servers:
        server.is_usable = False
    assert picker.pick((), 1, 0.0) is None


@pytest.mark.parametrize("spec", SPECS)
def test_tried_server_that_is_no_longer_listed_is_not_picked(spec: str) -> None:
    servers = servers_for(6)
    picker = new_picker(spec, servers)
    (gone,) = new_servers(300)[-1:]
    for server in servers:
        server.is_usable = False
    assert picker.pick((gone,), 1, 0.0) is None


@pytest.mark.parametrize("spec", SPECS)
def test_server_that_comes_back_is_picked_again(spec: str) -> None:
    servers = servers_for(4)
    picker = new_picker(spec, servers)
    back = picker.servers[0]
    now = 0.0
    back.is_usable = False
    for key in keys(50):
        now += 1.0
        assert picker.pick((), key, now) is not back
    back.is_usable = True
    picked = set()
    for key in keys(300):
        now += 1.0
        picked.add(picker.pick((), key, now))
    assert back in picked


@pytest.mark.parametrize("spec", SPECS)
def test_every_outcome_of_an_attempt_is_taken_by_a_later_picker(spec: str) -> None:
    servers = servers_for(8)
    balancer = new_load_balancer(spec, random.Random(1))
    before = balancer.new_picker(servers)
    begun = []
    for key in keys(40):
        server = before.pick((), key, 1.0)
        assert server is not None
        begin(before, server, 1.0)
        begun.append(server)
    after = balancer.new_picker(servers[2:])
    for server, outcome in zip(begun, list(Outcome) * 8, strict=True):
        end(after, server, 1.0, 1.5, outcome, 2.0)
    assert [server.in_flight for server in servers] == [0] * 8
    assert after.pick((), 1, 2.0) in servers[2:]


@pytest.mark.parametrize("spec", SPECS)
def test_threads_pick_while_servers_come_and_go(spec: str) -> None:
    servers = servers_for(32)
    balancer = new_load_balancer(spec, random.Random(1))
    current = [balancer.new_picker(servers)]
    counts: list[Counter[ClusterServer | None]] = []
    failures: list[BaseException] = []
    started = threading.Barrier(5)
    is_over = threading.Event()

    def call(number: int) -> None:
        counted: Counter[ClusterServer | None] = Counter()
        counts.append(counted)
        started.wait()
        try:
            for key in keys(10_000):
                picker = current[0]
                server = picker.pick((), key + number, 1.0)
                counted[server] += 1
                if server is not None:
                    begin(picker, server, 1.0)
                    end(current[0], server, 1.0, 1.001)
                if is_over.is_set() and sum(counted.values()) >= 500:
                    return
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    for turn in range(6):
        current[0] = balancer.new_picker(servers[turn % 3 * 4 :])
        servers[31 - turn].is_usable = turn % 2 == 0
    current[0] = balancer.new_picker(servers)
    is_over.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(counts, Counter())[None] == 0
    assert [server.in_flight for server in servers] == [0] * 32
