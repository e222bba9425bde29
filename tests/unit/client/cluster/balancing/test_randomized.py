"""random and wr."""

from __future__ import annotations

import random

import pytest

from pybrpc.client.cluster.balancing.randomized import Randomized, WeightedRandomized
from pybrpc.client.cluster.balancing.weights import weigh_by_tag
from tests.fakes.clusters import new_servers, picks, weighted


def test_all_servers_have_the_same_chance() -> None:
    servers = new_servers(10)
    found = picks(Randomized(random.Random(1)).new_picker(servers), 10_000)
    assert [found[server] for server in servers] == pytest.approx([1000] * 10, rel=0.12)


def test_few_usable_servers_have_the_same_chance() -> None:
    servers = new_servers(100)
    picker = Randomized(random.Random(1)).new_picker(servers)
    for server in servers[3:]:
        server.is_usable = False
    found = picks(picker, 3000)
    assert [found[server] for server in servers[:3]] == pytest.approx([1000] * 3, rel=0.12)


def test_chances_are_in_proportion_to_weights_also_of_few_usable_servers() -> None:
    servers = weighted(*["1000"] * 50, "1", "3")
    picker = WeightedRandomized(source=random.Random(1)).new_picker(servers)
    for server in servers[:50]:
        server.is_usable = False
    found = picks(picker, 4000)
    assert found.keys() == set(servers[50:])
    assert found[servers[51]] / 4000 == pytest.approx(0.75, abs=0.03)


def test_tried_servers_are_left_out() -> None:
    servers = weighted("1000", "1", "1")
    picker = WeightedRandomized(source=random.Random(1)).new_picker(servers)
    assert picks(picker, 100, tried=servers[:2]) == {servers[2]: 100}
    assert picks(picker, 100, tried=servers) == {servers[0]: 100}


def test_server_without_a_weight_may_get_one() -> None:
    servers = weighted("3", "")
    assert picks(WeightedRandomized().new_picker(servers), 100) == {servers[0]: 100}
    weigh = weigh_by_tag(1.0)
    found = picks(WeightedRandomized(weigh, random.Random(1)).new_picker(servers), 4000)
    assert found[servers[1]] / 4000 == pytest.approx(0.25, abs=0.03)


def test_random_number_next_to_1_is_no_index_beyond_the_last() -> None:
    class Highest(random.Random):
        """Gives the largest number that `random` may give."""

        def random(self) -> float:
            return 1.0 - 2.0**-53

    servers = weighted("0.1", "0.2", "0.3")
    assert picks(Randomized(Highest()).new_picker(servers), 1) == {servers[2]: 1}
    assert picks(WeightedRandomized(source=Highest()).new_picker(servers), 1) == {servers[2]: 1}
