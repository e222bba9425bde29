"""The table of maglev."""

from __future__ import annotations

from collections import Counter

import pytest

from pybrpc.client.cluster.balancing.hashing.maglev import Maglev, maglev_table
from tests.fakes.clusters import new_servers, weighted

TEXTS = [f"10.0.0.{index}:80" for index in range(10)]
SIZE = 5003


def table_of(texts: list[str], size: int = SIZE) -> list[str]:
    return [texts[index] for index in maglev_table(texts, [1.0] * len(texts), size)]


def test_places_are_even() -> None:
    counts = Counter(table_of(TEXTS))
    assert max(counts.values()) - min(counts.values()) <= 1


def test_table_does_not_depend_on_the_order_of_servers() -> None:
    assert table_of(TEXTS) == table_of(TEXTS[::-1])


def test_server_that_leaves_moves_few_keys_of_others() -> None:
    before, after = table_of(TEXTS), table_of(TEXTS[1:])
    moved = sum(was != now for was, now in zip(before, after, strict=True) if was != TEXTS[0])
    assert moved < 0.02 * SIZE
    heirs = Counter(now for was, now in zip(before, after, strict=True) if was == TEXTS[0])
    assert heirs.keys() == set(TEXTS[1:])


def test_places_are_in_proportion_to_weights() -> None:
    servers = weighted("1", "2", "4", "0.5")
    table = Maglev(SIZE).new_picker(servers)._table
    counts = Counter(table)
    for index, weight in enumerate((1, 2, 4, 0.5)):
        assert counts[index] / SIZE == pytest.approx(weight / 7.5, rel=0.01)


def test_one_server_has_all_places() -> None:
    assert set(maglev_table(["a"], [3.0], 7)) == {0}
    assert list(maglev_table([], [], 7)) == []


def test_other_threads_run_while_the_table_is_made() -> None:
    pauses: list[None] = []
    maglev_table(TEXTS, [1.0] * 10, 16411, lambda: pauses.append(None))
    assert len(pauses) == 4


def test_keys_of_a_server_that_is_not_usable_are_spread_over_all_others() -> None:
    servers = new_servers(10)
    picker = Maglev(SIZE).new_picker(servers)
    keys = [key for key in range(4000) if picker.pick((), key, 0.0) is servers[0]]
    servers[0].is_usable = False
    heirs = Counter(picker.pick((), key, 0.0) for key in keys)
    assert heirs.keys() == set(servers[1:])
    assert max(heirs.values()) < 3 * len(keys) / 9


@pytest.mark.proof
def test_default_table_is_even_within_a_tenth_of_a_percent() -> None:
    texts = [f"10.0.{index}.1:80" for index in range(100)]
    counts = Counter(maglev_table(texts, [1.0] * 100, 65537, lambda: None))
    shares = [count * 100 / 65537 for count in counts.values()]
    assert len(shares) == 100
    assert min(shares) > 0.999
    assert max(shares) < 1.001
