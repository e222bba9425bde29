"""All balancers, with addresses and tags as a naming service that is broken may give them."""

from __future__ import annotations

import math

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.cluster.balancing.registry import KINDS, new_load_balancer
from pybrpc.client.cluster.server_node import ServerNode
from tests.fakes.routers import RouterHarness

BALANCERS = [
    *KINDS,
    "p2c_ewma:zone=a",
    "rr:subset=2 client=0 clients=3",
    "wrr:default_weight=1 subset=2 client=1",
    "p2c:subset=3",
]
LISTS = {
    "weights": ["9" * 300, "1", "0.000001", "9" * 5000],
    "no weights": ["-1", "weight=nan 1", "weight=1e308 2", "0/" + "9" * 5000],
    "texts": ["\ud800", "\udcff 3", "\x00\x1b[2J 1", "zone=" + "z" * 100_000],
}


@pytest.mark.parametrize("tags", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("name", BALANCERS)
def test_every_balancer_takes_them(name: str, tags: list[str]) -> None:
    harness = RouterHarness(0, balancer=new_load_balancer(name))
    nodes = [ServerNode.parse("10.0.0.1:80", "1"), ServerNode(Endpoint("\ud800", 80), "2")]
    nodes += [ServerNode.parse(f"10.0.1.{number}:80", tag) for number, tag in enumerate(tags)]
    harness.router.set_nodes(nodes)
    for key in range(50):
        pick = harness.router.pick((), key * 7919, math.inf)
        assert pick is not None
        assert pick.server.node in nodes
        harness.turns.pass_s(0.001)
        pick.end(0, None)
