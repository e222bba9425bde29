"""How evenly the subsets of many clients load the servers."""

from __future__ import annotations

import random
from collections.abc import Callable

from pybrpc.client.cluster.balancing.subsets import Choose, aperture, random_subset, shuffled_subset
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.client.cluster.server_node import ServerNode

CASES = ((100, 60, 10), (7, 60, 10), (10, 33, 8))
"""Clients, servers, and the servers that a client wants."""
WAYS: dict[str, Callable[[int, int, int], Choose]] = {
    "random": lambda size, client, clients: random_subset(
        size, random.Random(client).getrandbits(64)
    ),
    "shuffled": lambda size, client, clients: shuffled_subset(size, client),
    "aperture": aperture,
}


def loads(way: str, clients: int, servers: int, size: int) -> list[float]:
    """The load of each server as a multiple of the mean, if all clients send as much and spread it
    over their servers in proportion to the weights."""
    listed = [ClusterServer(ServerNode.parse(f"10.0.0.{index}:80")) for index in range(servers)]
    sums = dict.fromkeys(listed, 0.0)
    for client in range(clients):
        parts = WAYS[way](size, client, clients)(listed)
        whole = sum(part for _, part in parts)
        for server, part in parts:
            sums[server] += part / whole
    mean = clients / servers
    return [load / mean for load in sums.values()]
