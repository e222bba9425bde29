"""Which server a hash key finds on a ring."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pybrpc.client.cluster.balancing.registry import new_load_balancer
from pybrpc.rpc.hash_key import hash_64
from tests.fakes.clusters import new_servers

KEYS = [hash_64(str(index).encode()) for index in range(4000)]
RINGS = ["c_murmurhash", "c_md5", "c_ketama"]


def new_picker(spec: str, servers: Any) -> Any:
    return new_load_balancer(spec).new_picker(servers)


@pytest.mark.parametrize("spec", RINGS)
def test_server_that_leaves_moves_only_its_own_keys(spec: str) -> None:
    servers = new_servers(10)
    balancer = new_load_balancer(spec)
    before = balancer.new_picker(servers)
    after = balancer.new_picker(servers[1:])
    again = balancer.new_picker(servers)
    moved = Counter()
    for key in KEYS:
        was = before.pick((), key, 0.0)
        now = after.pick((), key, 0.0)
        assert again.pick((), key, 0.0) is was
        if was is servers[0]:
            moved[now] += 1
        else:
            assert now is was
    assert len(moved) > 5


@pytest.mark.parametrize("spec", RINGS)
def test_server_that_is_not_usable_is_replaced_by_the_next_on_the_ring(spec: str) -> None:
    servers = new_servers(10)
    picker = new_picker(spec, servers)
    without = new_picker(spec, servers[1:])
    for key in KEYS[:500]:
        first = picker.pick((), key, 0.0)
        expected = without.pick((), key, 0.0)
        servers[0].is_usable = False
        assert picker.pick((), key, 0.0) is expected
        servers[0].is_usable = True
        if first is servers[0]:
            assert picker.pick((first,), key, 0.0) is expected


@pytest.mark.parametrize(
    ("spec", "least", "most"),
    [
        ("c_murmurhash", 0.55, 1.45),
        ("c_ketama:replicas=400", 0.75, 1.25),
        ("c_md5:replicas=1000", 0.85, 1.15),
    ],
)
def test_more_replicas_make_a_ring_more_even(spec: str, least: float, most: float) -> None:
    picker = new_picker(spec, new_servers(10))
    counts = Counter(picker.pick((), key, 0.0) for key in KEYS)
    shares = [count * 10 / len(KEYS) for count in counts.values()]
    assert least < min(shares)
    assert max(shares) < most


def test_key_of_64_bits_is_found_by_its_upper_half() -> None:
    picker = new_picker("c_md5", new_servers(10))
    for code in (2, 77, 2**31, 2**32 - 1):
        assert picker.pick((), code << 32 | 5, 0.0) is picker.pick((), code, 0.0)


@pytest.mark.parametrize("spec", [*RINGS, "maglev:table_size=251"])
def test_call_without_a_key_is_refused(spec: str) -> None:
    balancer = new_load_balancer(spec)
    assert balancer.needs_hash_key
    with pytest.raises(ValueError, match="needs a hash_key"):
        balancer.new_picker(new_servers(2)).pick((), None, 0.0)


def test_pick_gives_up_early_when_no_server_is_usable() -> None:
    servers = new_servers(5)
    picker = new_picker("c_md5:replicas=1000", servers)
    looked: list[int] = []

    class Watched:
        """The entries, with a note of each look."""

        def __len__(self) -> int:
            return 5000

        def __getitem__(self, index: int) -> int:
            looked.append(index)
            return entries[index]

    entries = picker._entries
    picker._entries = Watched()
    for server in servers:
        server.is_usable = False
    assert picker.pick((), 1, 0.0) is None
    assert len(looked) < 40
