"""The ring of points, and how it follows its list of servers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.cluster.balancing.hashing import hash_ring
from pybrpc.client.cluster.balancing.hashing.hash_ring import SLOT_MASK, HashRing
from pybrpc.client.cluster.balancing.hashing.ring_points import md5_points, order_of
from pybrpc.client.cluster.server_node import ServerNode


def nodes_of(count: int, tag: str = "") -> list[ServerNode]:
    return [ServerNode.parse(f"10.1.{index >> 8}.{index & 255}:80", tag) for index in range(count)]


def content(ring: HashRing) -> list[tuple[int, ServerNode]]:
    nodes = {slot: node for node, slot in ring.slots.items()}
    return [(entry >> 32, nodes[entry & SLOT_MASK]) for entry in ring.entries]


class CountedPoints:
    """`md5_points`, and how often each address was asked for."""

    def __init__(self) -> None:
        self.asked: Counter[Endpoint] = Counter()

    def __call__(self, endpoint: Endpoint, count: int) -> list[int]:
        self.asked[endpoint] += 1
        return md5_points(endpoint, count)


def changed(lists: Sequence[Sequence[ServerNode]], replicas: int = 20) -> HashRing:
    ring = HashRing(md5_points, replicas, lambda: None)
    for nodes in lists:
        ring.update(nodes)
    return ring


def test_ring_does_not_depend_on_the_changes_that_led_to_it() -> None:
    nodes = nodes_of(60)
    source = random.Random(1)
    lists = [source.sample(nodes, source.randrange(60)) for _ in range(20)]
    assert content(changed([*lists, nodes])) == content(changed([nodes[::-1]]))
    assert content(changed([nodes, []])) == []


def test_ring_in_many_slices_equals_one_that_is_sorted_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hash_ring, "SLICE", 256)
    nodes = nodes_of(60)
    ring = changed([nodes[:50], nodes[20:]], 20)
    assert len(ring.entries) > 3 * hash_ring.SLICE
    expected = sorted(
        (point, order_of(node.endpoint))
        for node in nodes[20:]
        for point in md5_points(node.endpoint, 20)
    )
    assert [(point, order_of(node.endpoint)) for point, node in content(ring)] == expected


def test_ring_that_serves_is_not_touched() -> None:
    nodes = nodes_of(20)
    ring = changed([nodes])
    entries = ring.entries
    before = entries.tolist()
    ring.update(nodes[5:])
    assert ring.entries is not entries
    assert entries.tolist() == before


def test_points_are_made_once_while_a_server_is_listed_or_was_in_the_list_before() -> None:
    points = CountedPoints()
    nodes = nodes_of(4)
    ring = HashRing(points, 20, lambda: None)
    for listed in (nodes, nodes[1:], nodes, nodes[2:], nodes[3:], nodes):
        ring.update(listed)
    assert [points.asked[node.endpoint] for node in nodes] == [2, 2, 1, 1]


def test_equal_points_are_in_the_order_of_their_addresses() -> None:
    nodes = [ServerNode.parse(text) for text in ("10.0.0.9:80", "9.0.0.10:80", "10.0.0.9:79")]
    nodes += [ServerNode.parse("10.0.0.9:80", "a"), ServerNode.parse("[::1]:80")]
    expected = [nodes[2], nodes[0], nodes[3], nodes[1], nodes[4]]
    for order in (nodes, nodes[::-1]):
        ring = HashRing(lambda _, count: list(range(count)), 3, lambda: None)
        for count in range(1, len(order) + 1):
            ring.update(order[:count])
        assert content(ring) == [(point, node) for point in range(3) for node in expected]


def test_other_threads_run_while_a_long_list_is_hashed() -> None:
    pauses: list[None] = []
    ring = HashRing(md5_points, 4, lambda: pauses.append(None))
    ring.update(nodes_of(16))
    assert pauses == []
    ring.update(nodes_of(100))
    assert len(pauses) == 84 / hash_ring.SERVERS_PER_PAUSE


def test_long_list_of_new_servers_is_sorted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_ring, "SLICE", 64)
    monkeypatch.setattr(hash_ring, "MANY_SERVERS", 1000)
    pauses: list[None] = []
    ring = HashRing(md5_points, 20, lambda: pauses.append(None))
    ring.update(nodes_of(100))
    assert len(ring.entries) == 2000
    # As many for the parts that are sorted, and for the search for equal points.
    assert len(pauses) >= 2 * 2000 // 64


def test_tags_make_other_servers_with_the_same_points() -> None:
    ring = changed([nodes_of(3) + nodes_of(3, "b")])
    points = content(ring)
    assert [point for point, _ in points[::2]] == [point for point, _ in points[1::2]]
    assert [node.tag for _, node in points] == ["", "b"] * 60
