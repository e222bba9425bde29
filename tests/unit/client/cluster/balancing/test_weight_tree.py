"""Draws in proportion to weights that change."""

from __future__ import annotations

import random

import pytest

from pybrpc.client.cluster.balancing.weight_tree import WeightTree


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 100])
def test_every_place_on_the_line_belongs_to_its_weight(count: int) -> None:
    source = random.Random(count)
    weights = [float(source.randrange(1, 9)) for _ in range(count)]
    tree = WeightTree([1.0] * count)
    for index, weight in enumerate(weights):
        tree.change(index, weight)
    assert tree.total == sum(weights)
    expected = [index for index, weight in enumerate(weights) for _ in range(int(weight))]
    assert [tree.find(place + 0.5) for place in range(int(tree.total))] == expected
    assert [tree.weight(index) for index in range(count)] == weights


def test_place_beyond_the_line_belongs_to_the_last_weight() -> None:
    tree = WeightTree([1.0, 2.0, 3.0])
    assert [tree.find(place) for place in (0.0, 1.0, 2.9, 3.0, 6.0, 100.0)] == [0, 1, 1, 2, 2, 2]


def test_tree_made_at_once_equals_one_that_was_changed() -> None:
    weights = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0]
    made, changed = WeightTree(weights), WeightTree([0.0] * 7)
    for index, weight in enumerate(weights):
        changed.change(index, weight)
    places = [place / 2 for place in range(50)]
    assert [made.find(place) for place in places] == [changed.find(place) for place in places]
