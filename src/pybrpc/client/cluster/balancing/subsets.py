"""Subsets: a client that uses only some of many servers, so that it needs fewer connections.

Three ways to choose them, by what is known of the clients of the cluster:

- Nothing: servers at random. The load of a server varies a lot.
- The number of this client: clients share out shuffled lists of all servers (the deterministic
  subsets of the book Site Reliability Engineering). The load is nearly even.
- The number of this client, and how many there are: a part of a ring of all servers, of which all
  clients' parts together cover each server equally (the deterministic aperture of Finagle). At its
  ends a client may have a part of a server; then that has only as much weight for it.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Sequence

from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer, Picker
from pybrpc.client.cluster.cluster_server import ClusterServer

Part = tuple[ClusterServer, float]
"""A server, and how much of it a client has, above 0 and at most 1."""
Choose = Callable[[Sequence[ClusterServer]], list[Part]]
SMALLEST_PART = 1e-9
"""Less is a rounding error."""


class SubsetBalancer:
    """Another balancer, which gets only the servers of a subset."""

    def __init__(self, inner: LoadBalancer, choose: Choose) -> None:
        self.name = inner.name
        self.needs_hash_key = inner.needs_hash_key
        self._inner = inner
        self._choose = choose

    def new_picker(self, servers: Sequence[ClusterServer]) -> Picker:
        """See `LoadBalancer`. Changes the weights of servers of which the subset has a part."""
        chosen: list[ClusterServer] = []
        for server, part in self._choose(servers):
            _set_part(server, part)
            chosen.append(server)
        return self._inner.new_picker(chosen)


def _set_part(server: ClusterServer, part: float) -> None:
    """A slow start goes on from where it is."""
    full_weight = (server.node.weight or 1.0) * part
    if full_weight != server.full_weight:
        started = server.weight / server.full_weight
        server.full_weight = full_weight
        server.weight = full_weight * started


def random_subset(size: int, seed: int) -> Choose:
    """The `size` servers with the least hash of `seed` and their address: a server that comes or
    goes replaces at most one."""
    key = seed.to_bytes(8, "little")

    def choose(servers: Sequence[ClusterServer]) -> list[Part]:
        ranked = sorted(servers, key=lambda server: _hashed(server, key))
        return [(server, 1.0) for server in ranked[:size]]

    return choose


def shuffled_subset(size: int, client: int) -> Choose:
    """The subset of client number `client`: those that divide all servers share one shuffle."""

    def choose(servers: Sequence[ClusterServer]) -> list[Part]:
        subsets = max(len(servers) // size, 1)
        shuffled = sorted(servers, key=lambda server: str(server.node))
        random.Random(client // subsets).shuffle(shuffled)
        start = client % subsets * size
        return [(server, 1.0) for server in shuffled[start : start + size]]

    return choose


def aperture(size: int, client: int, clients: int) -> Choose:
    """The part of the ring for client number `client` of `clients`: at least `size` servers, and
    rounded up to a multiple of the distance between two clients, which makes all parts together
    even."""

    def choose(servers: Sequence[ClusterServer]) -> list[Part]:
        count = len(servers)
        if not count:
            return []
        ring = sorted(servers, key=_hashed)
        width = math.ceil(size * clients / count - SMALLEST_PART) / clients
        if width >= 1.0:
            return [(server, 1.0) for server in ring]
        # In units of one server. The part may go over the end of the ring.
        begin = client * count / clients
        end = begin + width * count
        parts: dict[int, float] = {}
        for index in range(int(begin), math.ceil(end)):
            part = min(end, index + 1) - max(begin, index)
            if part > SMALLEST_PART:
                parts[index % count] = min(parts.get(index % count, 0.0) + part, 1.0)
        return [(ring[index], part) for index, part in parts.items()]

    return choose


def _hashed(server: ClusterServer, key: bytes = b"") -> bytes:
    text = str(server.node).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16, key=key).digest()
