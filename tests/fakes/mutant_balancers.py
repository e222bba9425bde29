"""Balancers with a fault in what they learn: tests of simulated clusters must notice each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer, Outcome
from pybrpc.client.cluster.cluster_server import ClusterServer

Learn = Callable[[float, float, Outcome], tuple[float, Outcome]]
"""Gets when an attempt began and ended, and how; returns the beginning and the outcome that the
balancer is given instead."""


def inverted(begun_at: float, now: float, outcome: Outcome) -> tuple[float, Outcome]:
    """Slow servers look fast."""
    return now - 1e-5 / max(now - begun_at, 1e-5), outcome


def blind_to_faults(begun_at: float, now: float, outcome: Outcome) -> tuple[float, Outcome]:
    """A failed attempt looks like a fast answer."""
    return begun_at, Outcome.SUCCESS


class MutantBalancer:
    """`inner`, which is given other figures than the true ones."""

    def __init__(self, inner: LoadBalancer, learn: Learn) -> None:
        self.name = inner.name
        self.needs_hash_key = inner.needs_hash_key
        self._inner = inner
        self._learn = learn

    def new_picker(self, servers: Sequence[ClusterServer]) -> Any:
        """See `LoadBalancer`."""
        return _MutantPicker(self._inner.new_picker(servers), self._learn)


class _MutantPicker:
    def __init__(self, inner: Any, learn: Learn) -> None:
        self.servers = inner.servers
        self.pick = inner.pick
        self.on_begin = inner.on_begin
        self._inner = inner
        self._learn = learn

    def on_end(
        self, server: ClusterServer, begun_at: float, now: float, outcome: Outcome, limit_s: float
    ) -> None:
        begun_at, outcome = self._learn(begun_at, now, outcome)
        self._inner.on_end(server, begun_at, now, outcome, limit_s)
