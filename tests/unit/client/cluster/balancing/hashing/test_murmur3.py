"""murmur3_x86_32: vectors of bRPC and of others; mmh3, if it is installed."""

from __future__ import annotations

import random

import pytest

from pybrpc.client.cluster.balancing.hashing.murmur3 import murmur3_of, murmur3_x86_32

VECTORS = {
    b"": 0,
    b"\0\0\0\0": 0x2362F9DE,
    b"\xff\xff\xff\xff": 0x76293B50,
    b"!Ce\x87": 0xF55B516B,
    b"!Ce": 0x7E4A8634,
    b"!C": 0xA0F7B07A,
    b"!": 0x72661CF4,
    b"10.92.115.19:8833-0": 1900783124,
    b"10.92.115.19:8833-99": 4194190429,
    b"[2408:871a:2100:3:0:ff:b025:348d]:8833-0": 224778447,
}


@pytest.mark.parametrize(("data", "hashed"), VECTORS.items())
def test_known_vectors(data: bytes, hashed: int) -> None:
    assert murmur3_of(data) == murmur3_x86_32(data) == hashed


def test_mmh3_gives_equal_hashes() -> None:
    mmh3 = pytest.importorskip("mmh3")
    source = random.Random(1)
    for size in range(70):
        data = source.randbytes(size)
        assert murmur3_of(data) == mmh3.hash(data, 0, signed=False) == murmur3_x86_32(data)
