"""la: bRPC's formulas, and the bounds that keep every server in use."""

from __future__ import annotations

import math
import random
import threading
from typing import Any

import pytest

from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.client.cluster.balancing.locality_aware import (
    MIN_WEIGHT,
    WEIGHT_SCALE,
    CallTimes,
    LocalityAware,
)
from tests.fakes.clusters import CalledCluster, attempt, begin, end, new_servers, picks


def test_weight_is_throughput_divided_by_latency() -> None:
    load = CallTimes(1.0)
    for number in range(200):  # 100 calls per second, 2 ms each.
        load.note_success(0.002, number * 0.01)
    assert load.average_s == pytest.approx(0.002)
    assert load.base_weight == pytest.approx(100 * WEIGHT_SCALE / 2000, rel=0.01)


def test_throughput_counts_as_1_until_there_are_enough_samples() -> None:
    load = CallTimes(1.0)
    for number in range(50):
        load.note_success(0.002, number * 0.001)
    assert load.base_weight == pytest.approx(WEIGHT_SCALE / 2000)
    load.note_success(0.002, 1.5)
    assert load.base_weight == pytest.approx(50 / 1.5 * WEIGHT_SCALE / 2000)


def test_attempts_end_while_a_picker_is_made() -> None:
    """It may take long, and the dispatcher must not wait for it."""
    balancer, servers = LocalityAware(), new_servers(3)
    picker = balancer.new_picker(servers)

    class Slow(list[Any]):
        """Has an attempt begin and end in another thread before it tells its servers."""

        def __iter__(self) -> Any:
            thread = threading.Thread(target=attempt, args=(picker, servers[0], 1.0, 1.5))
            thread.start()
            thread.join(10)
            assert not thread.is_alive()
            return super().__iter__()

    assert balancer.new_picker(Slow(servers)).servers == tuple(servers)


def test_first_sample_is_the_average() -> None:
    load = CallTimes(1.0)
    load.note_success(0.004, 1.0)
    assert load.average_s == 0.004
    load.note_success(0.002, 1.0)
    assert load.average_s == pytest.approx(0.002)


def test_weight_is_at_least_the_least() -> None:
    load = CallTimes(1.0)
    load.note_success(1e9, 1.0)
    assert load.base_weight == MIN_WEIGHT


@pytest.mark.parametrize(("limit_s", "average_s"), [(0.5, 0.502), (math.inf, 0.0032)])
def test_failure_makes_the_last_sample_slower(limit_s: float, average_s: float) -> None:
    load = CallTimes(1.0)
    load.note_success(0.002, 1.0)
    load.note_success(0.002, 2.0)
    load.note_failure(0.001, limit_s, 2.5)
    assert load.average_s == pytest.approx(average_s)
    assert len(load.samples) == 2


def test_first_failure_counts_as_the_time_limit() -> None:
    load = CallTimes(1.0)
    load.note_failure(0.001, 0.5, 1.0)
    assert load.average_s == 0.5


def test_calls_in_flight_that_take_long_make_the_weight_less() -> None:
    load = CallTimes(1.0)
    load.note_success(0.01, 1.0)
    assert load.share_now(9.0) == 1.0
    load.note_begin(2.0)
    load.note_begin(2.02)
    assert load.share_now(2.02) == 1.0
    assert load.share_now(2.04) == pytest.approx(0.5)
    load.note_end(2.0)
    load.note_end(2.02)
    assert load.share_now(9.0) == 1.0
    assert load.begin_sum == 0.0


def test_fast_server_gets_more_calls_and_the_slow_one_some() -> None:
    fast, slow = new_servers(2)
    cluster = CalledCluster(LocalityAware(random.Random(1)).new_picker([fast, slow]))
    found = cluster.count_calls(3000, {fast: 0.001, slow: 0.01})
    assert found[fast] > 2500
    assert found[slow] >= 3


def test_weight_is_at_least_a_hundredth_of_the_average() -> None:
    servers = new_servers(10)
    picker: Any = LocalityAware(random.Random(1)).new_picker(servers)
    for server in servers:
        begin(picker, server, 1.0)
        end(picker, server, 1.0, 1.001)
    begin(picker, servers[0], 2.0)
    end(picker, servers[0], 2.0, 2.1, Outcome.FAULT, 1000.0)
    assert picker._tree.weight(0) >= 0.0099 * picker._tree.total / 10
    assert picks(picker, 5000)[servers[0]] >= 1


def test_server_that_comes_back_has_the_average_weight_at_most() -> None:
    servers = new_servers(4)
    picker: Any = LocalityAware(random.Random(1)).new_picker(servers)
    for _ in range(2):
        for server, latency_s in zip(servers, (0.001, 0.1, 0.1, 0.1), strict=True):
            begin(picker, server, 1.0)
            end(picker, server, 1.0, 1.0 + latency_s)
    servers[0].is_usable = False
    assert servers[0] not in picks(picker, 50)
    average = picker._tree.total / 4
    assert servers[0].load.base_weight > average
    servers[0].is_usable = True
    begin(picker, servers[0], 2.0)
    assert servers[0].load.base_weight == pytest.approx(average)


def test_new_server_has_the_average_weight() -> None:
    servers = new_servers(3)
    balancer = LocalityAware(random.Random(1))
    picker = balancer.new_picker(servers[:2])
    for server, latency_s in zip(servers, (0.001, 0.003), strict=False):
        begin(picker, server, 1.0)
        end(picker, server, 1.0, 1.0 + latency_s)
    balancer.new_picker(servers)
    known = [server.load.base_weight for server in servers]
    assert known[2] == pytest.approx((known[0] + known[1]) / 2)


def test_weights_add_up_after_rounds_of_removals() -> None:  # la_sanity of bRPC
    servers = new_servers(256)
    source = random.Random(1)
    balancer = LocalityAware(source)
    now = 1.0
    for _ in range(5):
        for listed in (source.sample(servers, 128), servers):
            picker: Any = balancer.new_picker(listed)
            for _ in range(300):
                server: Any = picker.pick((), None, now)
                begin(picker, server, now)
                now += source.random() / 100
                end(picker, server, now - 0.001, now)
            tree = picker._tree
            weights = [tree.weight(index) for index in range(len(listed))]
            assert min(weights) > 0
            assert tree.total == pytest.approx(sum(weights))
            ends = [sum(weights[: index + 1]) for index in range(len(listed))]
            for index, stop in enumerate(ends):
                assert tree.find(stop - weights[index] / 2) == index


def test_pick_ends_if_no_server_is_usable() -> None:  # la_selection_too_long of bRPC
    servers = new_servers(100)
    picker = LocalityAware(random.Random(1)).new_picker(servers)
    for server in servers:
        server.is_usable = False
    assert picker.pick((), None, 1.0) is None


def test_pick_ends_if_all_calls_in_flight_take_long() -> None:
    servers = new_servers(3)
    picker: Any = LocalityAware(random.Random(1)).new_picker(servers)
    for server in servers:
        begin(picker, server, 1.0)
        end(picker, server, 1.0, 1.000001)
        begin(picker, server, 1.0)
    assert picker.pick((), None, 1e6) in servers


def test_lock_is_made_again_in_a_child() -> None:
    balancer = LocalityAware()
    lock = balancer.lock
    balancer.renew_locks()
    assert balancer.lock is not lock
