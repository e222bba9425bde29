"""bRPC's own tests of load balancers (test/brpc_load_balancer_unittest.cpp), with its numbers.

| test of bRPC | here, or where |
|---|---|
| update_while_selection | test_update_while_selection |
| fairness | test_fairness_* |
| consistent_hashing | test_consistent_hashing; its rings: golden/test_rings.py |
| weighted_round_robin | test_weighted_round_robin |
| weighted_round_robin_no_valid_server | test_weighted_round_robin_no_valid_server |
| weighted_randomized | test_weighted_randomized |
| weighted_randomized_equal_weight | test_weighted_randomized_equal_weight |
| health_check_no_valid_server | test_health_check_no_valid_server |
| revived_from_all_failed_sanity | test_revived_from_all_failed_sanity |
| revived_from_all_failed_intergrated | test_simulated_clusters.py, test_revived_from_all_failed |
| invalid_lb_params | test_invalid_lb_params |
| la_records_latency_with_consistent_time_source | test_la_records_latency |
| la_selection_too_long, la_sanity | test_locality_aware.py |
| doubly_buffered_data | contract/test_pickers.py: threads pick while lists are replaced |
| brpc_p2c_ewma_load_balancer_unittest.cpp | test_brpc_p2c.py |
| #3502, bounded load | hashing/test_bounded_load.py |

ENODATA and EHOSTDOWN are a `None` of the picker here: the router tells them apart.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

import pytest

from pybrpc.client.cluster.balancing.hashing.murmur3 import murmur3_x86_32
from pybrpc.client.cluster.balancing.load_balancer import Picker
from pybrpc.client.cluster.balancing.registry import new_load_balancer
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.errors import ErrorCode, RpcError
from tests.fakes.clusters import begin, end, new_server, new_servers, picks, weighted


def new_picker(spec: str, servers: list[ClusterServer]) -> Any:
    return new_load_balancer(spec, random.Random(1)).new_picker(servers)


def picks_of_threads(current: list[Picker], enough: threading.Event, count: int) -> Counter[Any]:
    """Picks of 8 threads: at least `count` each, and until there are enough."""
    counts: list[Counter[Any]] = []

    def select(number: int) -> None:
        counted: Counter[Any] = Counter()
        key = 0
        while key < count or not enough.is_set():
            key += 1
            counted[current[0].pick((), (8 * key + number) * 2654435761 % 2**32, 0.0)] += 1
            if key >= count and key % 16 == 0:
                enough.wait(0.01)  # So that the thread which updates the list gets the GIL.
        counts.append(counted)

    threads = [threading.Thread(target=select, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts, Counter())


@pytest.mark.proof
@pytest.mark.parametrize("spec", ["rr", "random", "la", "wrr", "c_murmurhash"])
def test_update_while_selection(spec: str) -> None:
    balancer = new_load_balancer(spec, random.Random(1))
    assert balancer.new_picker([]).pick((), 0, 0.0) is None
    servers = [new_server(f"192.{index}.1.{index}:8080", "1") for index in range(256)]
    is_off = None
    if spec == "wrr":
        is_off = servers[255] = new_server("192.255.1.255:8080", "200000000")
        is_off.is_usable = False
    current = [balancer.new_picker(servers)]
    enough = threading.Event()

    def update() -> None:
        source = random.Random(2)
        removable = [server for server in servers if server is not is_off]
        for _ in range(200):
            source.shuffle(removable)
            kept = [server for server in servers if server not in set(removable[:-1])]
            current[0] = balancer.new_picker(kept)
            current[0] = balancer.new_picker(servers)
        enough.set()

    updating = threading.Thread(target=update)
    updating.start()
    total = picks_of_threads(current, enough, 4096)
    updating.join()
    # On a busy machine most of these picks were from short lists.
    total += picks_of_threads(current, enough, 4096)
    assert total.keys() == set(servers) - {is_off}
    assert balancer.new_picker([]).pick((), 0, 0.0) is None


def over() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@pytest.mark.parametrize("spec", ["rr", "random", "la", "c_murmurhash"])
def test_fairness(spec: str) -> None:
    servers = [new_server(f"192.168.1.{index}:8080") for index in range(256)]
    total = picks_of_threads([new_picker(spec, servers)], over(), 600)
    assert total.keys() == set(servers)
    if spec == "rr":
        assert max(total.values()) - min(total.values()) <= 1


@pytest.mark.parametrize("is_equal", [True, False])
def test_fairness_of_weighted_round_robin(is_equal: bool) -> None:
    source = random.Random(3)
    weights = [100 if is_equal else 80 + source.randrange(40) for _ in range(256)]
    if not is_equal:
        weights[::50] = [weight + 2 * index for index, weight in enumerate(weights)][::50]
    servers = [
        new_server(f"192.168.1.{index}:8080", str(weight)) for index, weight in enumerate(weights)
    ]
    rounds = 10 if is_equal else 1
    count = rounds * (256 if is_equal else sum(weights))
    total = picks_of_threads([new_picker("wrr", servers)], over(), count // 8)
    rest = count % 8
    scaled = [total[server] / weight for server, weight in zip(servers, weights, strict=True)]
    whole = rounds / (100 if is_equal else 1)
    assert max(scaled) <= whole
    assert sum(total.values()) == count - rest
    assert sum(weight * whole for weight in weights) - sum(total.values()) == pytest.approx(rest)


ADDRESSES = [
    "10.92.115.19:8833",
    "10.42.108.25:8833",
    "10.36.150.32:8833",
    "10.92.149.48:8833",
    "10.42.122.201:8833",
    "[2408:871a:2100:3:0:ff:b025:348d]:8833",
    "unix:test.sock",
]


def shares_of_ring(picker: Any) -> dict[ClusterServer, float]:
    """The part of all codes that belongs to each server (GetLoads of bRPC)."""
    entries = list(picker._entries)
    shares: Counter[ClusterServer] = Counter()
    before = entries[-1] - 2**64
    for entry in entries:
        shares[picker._by_slot[entry & 0xFFFFFFFF]] += (entry >> 32) - (before >> 32)
        before = entry
    return {server: share / 2**32 for server, share in shares.items()}


@pytest.mark.parametrize("spec", ["c_murmurhash", "c_md5", "c_ketama"])
@pytest.mark.parametrize(
    ("count", "tolerance"), [(20_000, 0.1), pytest.param(10**6, 0.02, marks=pytest.mark.proof)]
)
def test_consistent_hashing(spec: str, count: int, tolerance: float) -> None:
    balancer = new_load_balancer(spec)
    picker: Any = None
    for _ in range(5):
        servers = [new_server(address) for address in ADDRESSES]
        picker = balancer.new_picker(servers)
    times = Counter(
        picker.pick((), murmur3_x86_32(key.to_bytes(8, "little")), 0.0) for key in range(count)
    )
    shares = shares_of_ring(picker)
    assert times.keys() == shares.keys() == set(servers)
    for server in servers:
        assert times[server] / count / shares[server] == pytest.approx(1.0, abs=tolerance)


def test_weighted_round_robin() -> None:
    servers = weighted("3", "2", "7", "200000000", "1ab", "-1", "0")
    servers[3].is_usable = False
    picker = new_picker("wrr", servers)
    assert list(picker.servers) == servers[:4]
    assert picks(picker, 12) == dict(zip(servers, (3, 2, 7), strict=False))


def test_weighted_round_robin_no_valid_server() -> None:
    servers = weighted("200000000", "2", "600000")
    picker = new_picker("wrr", servers)
    for server in servers[1:]:
        server.is_usable = False
    # bRPC picks nothing here. We try the tried one again, as bRPC's other balancers do.
    assert picker.pick((servers[0],), None, 0.0) is servers[0]
    servers[0].is_usable = False
    assert picker.pick((servers[0],), None, 0.0) is None


def test_weighted_randomized() -> None:
    servers = weighted("3", "2", "5", "10", "1ab", "-1", "0")
    picker = new_picker("wr", servers)
    found = picks(picker, 2000)
    assert found.keys() == set(servers[:4])
    for server, weight in zip(servers, (3, 2, 5, 10), strict=False):
        assert weight / 20 / 2 <= found[server] / 2000 <= weight / 20 * 2
    for server in servers[1:]:
        server.is_usable = False
    assert picks(picker, 2000) == {servers[0]: 2000}


def test_weighted_randomized_equal_weight() -> None:
    servers = weighted("1", "1", "1", "1")
    found = picks(new_picker("wr", servers), 40_000)
    assert found.keys() == set(servers)
    for count in found.values():
        assert count == pytest.approx(10_000, rel=0.1)


@pytest.mark.parametrize("spec", ["rr", "random", "wrr"])
def test_health_check_no_valid_server(spec: str) -> None:
    servers = weighted("50", "50")
    picker = new_picker(spec, servers)
    assert None not in picks(picker, 4)
    servers[0].is_usable = False
    assert picks(picker, 4) == {servers[1]: 4}
    servers[1].is_usable = False
    assert picks(picker, 4) == {None: 4}
    servers[0].is_usable = servers[1].is_usable = True
    assert picks(picker, 20).keys() == set(servers)


def code_of_pick(picker: Any, now: float) -> int | None:
    """0 for a server, `None` for none, or the code of the error."""
    try:
        server = picker.pick((), None, now)
    except RpcError as error:
        return error.code
    return None if server is None else 0


@pytest.mark.parametrize("spec", ["random", "rr"])
def test_revived_from_all_failed_sanity(spec: str) -> None:
    servers = weighted("50", "50")
    picker = new_picker(f"{spec}:min_working_instances=2 hold_seconds=2", servers)
    assert code_of_pick(picker, 10.0) == 0
    servers[0].is_usable = servers[1].is_usable = False
    assert code_of_pick(picker, 10.0) is None
    assert [code_of_pick(picker, 10.0) for _ in range(10)] == [ErrorCode.EREJECT] * 10
    servers[0].is_usable = True
    codes = Counter(code_of_pick(picker, 10.02) for _ in range(1000))
    assert codes.keys() == {0, ErrorCode.EREJECT}
    assert abs(codes[ErrorCode.EREJECT] - codes[0]) < 200
    assert [code_of_pick(picker, 12.04) for _ in range(10)] == [0] * 10


@pytest.mark.parametrize(
    "spec",
    ["random:mi_working_instances=2 hold_seconds=2", "rr:min_working_instances=2 hold_secon=2"],
)
def test_invalid_lb_params(spec: str) -> None:
    with pytest.raises(ValueError, match=r"has no parameter '(mi_working_instances|hold_secon)'"):
        new_load_balancer(spec)


def test_la_records_latency() -> None:
    (server,) = new_servers(1)
    picker = new_picker("la", [server])
    now = 5.0
    for _ in range(8):
        assert picker.pick((), None, now) is server
        begin(picker, server, now)
        end(picker, server, now, now + 0.002)
        now += 0.002
    assert server.load.average_s == pytest.approx(0.002)
