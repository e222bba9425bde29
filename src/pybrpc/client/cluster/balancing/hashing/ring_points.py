"""The points of a server on a ring of 32 bits: those of C++ bRPC, bit for bit."""

from __future__ import annotations

import hashlib
import ipaddress
import struct
from collections.abc import Callable

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.cluster.balancing.hashing.murmur3 import murmur3_x86_32

Points = Callable[[Endpoint, int], list[int]]
"""The points of an address, so many of them, in the order in which they are made."""

WORDS_PER_MD5 = 4


def murmur_points(endpoint: Endpoint, count: int) -> list[int]:
    """c_murmurhash: murmur3 of "ip:port-i"."""
    return [murmur3_x86_32(text) for text in _texts(endpoint, count)]


def md5_points(endpoint: Endpoint, count: int) -> list[int]:
    """c_md5: the first word of the MD5 of "ip:port-i"."""
    return [_md5_words(text)[0] for text in _texts(endpoint, count)]


def ketama_points(endpoint: Endpoint, count: int) -> list[int]:
    """c_ketama: the four words of the MD5 of "ip:port-i", for a fourth as many i."""
    return [word for text in _texts(endpoint, count // WORDS_PER_MD5) for word in _md5_words(text)]


def _texts(endpoint: Endpoint, count: int) -> list[bytes]:
    return [f"{endpoint}-{index}".encode("utf-8", "surrogatepass") for index in range(count)]


def _md5_words(text: bytes) -> tuple[int, ...]:
    return struct.unpack("<4I", hashlib.md5(text, usedforsecurity=False).digest())


def order_of(endpoint: Endpoint) -> tuple[int, int, int, str]:
    """The order of addresses with an equal point, which is that of C++ on a little-endian machine
    for IPv4: by the bytes of the IP from the last to the first, then by the port."""
    try:
        address = ipaddress.ip_address(endpoint.host)
    except ValueError:
        return 1, 0, endpoint.port, endpoint.host
    if isinstance(address, ipaddress.IPv4Address):
        return 0, int.from_bytes(address.packed, "little"), endpoint.port, ""
    return 1, 0, endpoint.port, endpoint.host
