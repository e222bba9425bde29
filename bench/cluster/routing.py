"""Routing: what gives a simulated client a server for each attempt, as a channel's router does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer, Outcome, Picker
from pybrpc.client.cluster.cluster_server import ClusterServer


class Routing(Protocol):
    """The routing of one client. `now`: seconds of the virtual clock."""

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """The server for an attempt, or `None`: the call fails."""

    def begin(self, server: ClusterServer, now: float) -> None:
        """The attempt is sent."""

    def end(
        self, server: ClusterServer, begun_at: float, now: float, outcome: Outcome, limit_s: float
    ) -> None:
        """It has ended, as it ends for a Picker."""

    def update(self, servers: Sequence[ClusterServer]) -> None:
        """The list of servers has changed."""


class BalancerAlone:
    """Only a balancer, without breaker and retry budget."""

    def __init__(self, balancer: LoadBalancer) -> None:
        self._balancer = balancer
        self._picker: Picker = balancer.new_picker(())

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """See `Routing`."""
        return self._picker.pick(tried, hash_key, now)

    def begin(self, server: ClusterServer, now: float) -> None:
        """See `Routing`."""
        server.begin()
        self._picker.on_begin(server, now)

    def end(
        self, server: ClusterServer, begun_at: float, now: float, outcome: Outcome, limit_s: float
    ) -> None:
        """See `Routing`."""
        server.end()
        self._picker.on_end(server, begun_at, now, outcome, limit_s)

    def update(self, servers: Sequence[ClusterServer]) -> None:
        """See `Routing`."""
        self._picker = self._balancer.new_picker(servers)
