"""Rings of C++ bRPC (record_rings.cpp), point for point, and the servers of some request codes.

The servers are seven of bRPC's own tests, of three kinds of address, and 93 others.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from pathlib import Path

import pytest

from pybrpc.client.cluster.balancing.hashing.consistent_hashing import POINTS
from pybrpc.client.cluster.balancing.hashing.hash_ring import SLOT_BITS, SLOT_MASK, HashRing
from pybrpc.client.cluster.balancing.registry import new_load_balancer
from pybrpc.client.cluster.server_node import ServerNode
from tests.fakes.clusters import new_server

VECTORS = Path(__file__).parent / "vectors"
RINGS = ("c_murmurhash", "c_md5", "c_ketama")
ADDRESSES = [
    "10.92.115.19:8833",
    "10.42.108.25:8833",
    "10.36.150.32:8833",
    "10.92.149.48:8833",
    "10.42.122.201:8833",
    "[2408:871a:2100:3:0:ff:b025:348d]:8833",
    "unix:test.sock",
    *(f"192.168.{index % 7}.{index}:{8000 + index}" for index in range(93)),
]


def recorded(name: str) -> list[tuple[int, int]]:
    """Point and number of the server of each entry, in order."""
    return list(struct.iter_unpack("<IH", (VECTORS / f"ring_{name}.bin").read_bytes()))


@pytest.mark.parametrize("name", RINGS)
def test_ring_is_that_of_cpp(name: str) -> None:
    nodes = [ServerNode.parse(address) for address in ADDRESSES]
    ring = HashRing(POINTS[name], 100)
    ring.update(nodes)
    numbers = {ring.slots[node]: number for number, node in enumerate(nodes)}
    entries = [(entry >> SLOT_BITS, numbers[entry & SLOT_MASK]) for entry in ring.entries]
    assert entries == recorded(name)


@pytest.mark.parametrize("name", RINGS)
def test_ring_built_by_changes_is_that_of_cpp(name: str) -> None:
    nodes = [ServerNode.parse(address) for address in ADDRESSES]
    others = [ServerNode.parse(f"10.9.9.{index}:1") for index in range(9)]
    ring = HashRing(POINTS[name], 100)
    ring.update(nodes[50:] + others)
    ring.update(nodes[:60] + others[3:])
    ring.update(nodes)
    numbers = {ring.slots[node]: number for number, node in enumerate(nodes)}
    entries = [(entry >> SLOT_BITS, numbers[entry & SLOT_MASK]) for entry in ring.entries]
    assert entries == recorded(name)


@pytest.mark.parametrize("name", RINGS)
def test_request_code_finds_the_server_of_cpp(name: str) -> None:
    entries = recorded(name)
    points = [point for point, _ in entries]
    servers = [new_server(address) for address in ADDRESSES]
    picker = new_load_balancer(name).new_picker(servers)
    codes = [0, 1, points[0], points[-1], points[-1] + 1, 2**32 - 1]
    codes += [code * 2654435761 % 2**32 for code in range(2000)]
    for code in codes:
        place = bisect_left(points, code) % len(points)
        picked = picker.pick((), code, 0.0)
        assert picked is servers[entries[place][1]]
