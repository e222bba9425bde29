"""Servers of a cluster to which nobody connects, and what a router does with a Picker."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.client.cluster.server_node import ServerNode


def new_server(address: str, tag: str = "") -> ClusterServer:
    return ClusterServer(ServerNode.parse(address, tag))


def new_servers(count: int, tag: str = "") -> list[ClusterServer]:
    return [new_server(f"10.0.{index >> 8}.{index & 255}:8000", tag) for index in range(count)]


def weighted(*tags: str) -> list[ClusterServer]:
    return [new_server(f"10.0.1.{index}:8000", tag) for index, tag in enumerate(tags)]


def begin(picker: Any, server: ClusterServer, now: float) -> None:
    """An attempt at `server`."""
    server.begin()
    picker.on_begin(server, now)


def end(
    picker: Any,
    server: ClusterServer,
    begun_at: float,
    now: float,
    outcome: Outcome = Outcome.SUCCESS,
    limit_s: float = math.inf,
) -> None:
    """The attempt at `server` that began at `begun_at` ends."""
    server.end()
    picker.on_end(server, begun_at, now, outcome, limit_s)


def attempt(
    picker: Any,
    server: ClusterServer,
    begun_at: float,
    now: float,
    outcome: Outcome = Outcome.SUCCESS,
    limit_s: float = math.inf,
) -> None:
    """An attempt at `server` from its begin to its end."""
    begin(picker, server, begun_at)
    end(picker, server, begun_at, now, outcome, limit_s)


def picks(
    picker: Any, count: int, tried: Sequence[ClusterServer] = (), hash_key: int | None = None
) -> Counter[ClusterServer | None]:
    """How often each server is picked."""
    return Counter(picker.pick(tuple(tried), hash_key, 0.0) for _ in range(count))


class CalledCluster:
    """Calls one after the other on a clock of its own; each server has its latency."""

    def __init__(self, picker: Any, now: float = 100.0) -> None:
        self.picker = picker
        self.now = now

    def call(
        self,
        latencies_s: dict[ClusterServer, float],
        failing: Sequence[ClusterServer] = (),
        limit_s: float = math.inf,
    ) -> ClusterServer:
        """One call, and the server that has got it."""
        server: ClusterServer = self.picker.pick((), None, self.now)
        begun_at = self.now
        begin(self.picker, server, begun_at)
        self.now += latencies_s[server]
        outcome = Outcome.FAULT if server in failing else Outcome.SUCCESS
        end(self.picker, server, begun_at, self.now, outcome, limit_s)
        return server

    def count_calls(
        self,
        count: int,
        latencies_s: dict[ClusterServer, float],
        failing: Sequence[ClusterServer] = (),
        limit_s: float = math.inf,
    ) -> Counter[ClusterServer]:
        """How many of `count` calls each server has got."""
        return Counter(self.call(latencies_s, failing, limit_s) for _ in range(count))
