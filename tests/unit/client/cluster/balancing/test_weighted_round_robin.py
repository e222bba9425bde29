"""wrr: exact shares, evenly spread."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from typing import Any

import pytest

from pybrpc.client.cluster.balancing.weighted_round_robin import (
    MAX_CYCLE,
    WeightedRoundRobin,
    stride_for,
)
from pybrpc.client.cluster.balancing.weights import weigh_by_tag
from tests.fakes.clusters import new_servers, picks, weighted


def new_picker(*tags: str) -> Any:
    servers = weighted(*tags)
    return WeightedRoundRobin(source=random.Random(1)).new_picker(servers)


@pytest.mark.parametrize("tags", [("5", "1", "1"), ("3000", "2000", "7"), ("0.5", "0.25", "1")])
def test_one_round_has_each_server_as_often_as_its_weight(tags: tuple[str, ...]) -> None:
    picker = new_picker(*tags)
    weights = [float(tag) for tag in tags]
    whole = [
        round(weight / min(weights)) if min(weights) < 1 else round(weight) for weight in weights
    ]
    for _ in range(3):
        found = picks(picker, sum(whole))
        assert [found[server] for server in picker.servers] == whole


def test_turns_of_a_server_are_spread_over_the_round() -> None:
    picker = new_picker("10", "10", "80")
    order = [picker.servers.index(picker.pick((), None, 0.0)) for _ in range(200)]
    for index in (0, 1):
        turns = [place for place, picked in enumerate(order) if picked == index]
        gaps = [after - before for before, after in itertools.pairwise(turns)]
        assert min(gaps) >= 5
        assert max(gaps) <= 15


@pytest.mark.parametrize(
    "total", [1, 2, 3, 4, 6, 12, 100, MAX_CYCLE, 2 * 3 * 5 * 7 * 11, 2 * 10**8]
)
def test_stride_has_no_common_divisor_with_the_total(total: int) -> None:
    stride = stride_for(total)
    assert math.gcd(stride, total) == 1
    assert abs(stride - total * 0.618) < 0.2 * total + 1


def test_server_that_is_not_usable_leaves_the_proportions_of_the_others() -> None:
    picker = new_picker("1", "2", "4", "1000000")
    picker.servers[3].is_usable = False
    found = picks(picker, 700)
    assert [found[server] for server in picker.servers] == [100, 200, 400, 0]
    picker.servers[3].is_usable = True
    found = picks(picker, 100)
    assert found[picker.servers[3]] > 90


def test_server_that_was_tried_is_replaced_in_proportion_to_the_weights() -> None:
    picker = new_picker("100", "1", "3")
    tried = picker.servers[:1]
    found = Counter(picker.pick(tried, None, 0.0) for _ in range(4000))
    assert found.keys() == set(picker.servers[1:])
    assert found[picker.servers[2]] / 4000 == pytest.approx(0.75, abs=0.05)


def test_server_without_a_weight_gets_no_calls_and_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    servers = weighted("1", "", "zone=a", "0")
    assert list(WeightedRoundRobin().new_picker(servers).servers) == servers[:1]
    assert "the balancer wrr gives no calls to 3 servers whose tag has no weight" in caplog.text
    assert "10.0.1.2:8000 zone=a" in caplog.text


def test_server_without_a_weight_may_get_one() -> None:
    servers = weighted("1", "", "4")
    picker = WeightedRoundRobin(weigh_by_tag(2.0)).new_picker(servers)
    found = picks(picker, 7)
    assert [found[server] for server in servers] == [1, 2, 4]


def test_weights_of_many_servers_add_up_to_more_than_a_cycle() -> None:
    servers = new_servers(300, "100") + weighted("7")
    found = picks(WeightedRoundRobin().new_picker(servers), 30_007)
    assert [found[server] for server in servers] == [100] * 300 + [7]
