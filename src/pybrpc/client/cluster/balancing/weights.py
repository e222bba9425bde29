"""Weights of servers for the balancers wr and wrr."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from pybrpc.base.guard import CLIENT
from pybrpc.client.cluster.balancing.base_picker import BasePicker
from pybrpc.client.cluster.cluster_server import ClusterServer

MAX_NAMED = 5
"""Servers that a warning names."""
PARTS = 1000
"""A weight that is no whole number is rounded to a multiple of 1 / PARTS, but not to 0."""


Weigh = Callable[[ClusterServer], float]
"""The weight of a server; 0: it gets no calls."""


def weigh_by_tag(default_weight: float) -> Weigh:
    """By the weights of their tags; servers without one have `default_weight`."""

    def weigh(server: ClusterServer) -> float:
        return server.full_weight * (1.0 if server.node.weight is not None else default_weight)

    return weigh


def weigh_by_share(server: ClusterServer) -> float:
    """The part of the server that a subset has: 1 for all of it."""
    return server.full_weight / (server.node.weight or 1.0)


class WeighingBalancer:
    """The part that wr and wrr share.

    As in bRPC, a server whose tag has no weight gets no calls, unless `weigh` gives it one.
    """

    name: str
    needs_hash_key = False

    def __init__(self, weigh: Weigh | None = None, source: random.Random | None = None) -> None:
        """`weigh`: the weights, if not those of the tags. `source`: where its random numbers come
        from, if not from `random`."""
        self._weigh = weigh or weigh_by_tag(0.0)
        self._random = random.random if source is None else source.random

    def new_picker(self, servers: Sequence[ClusterServer]) -> BasePicker:
        """See `LoadBalancer`. Warns of servers without a weight."""
        return self._picker(*weighted_servers(self.name, servers, self._weigh))

    def _picker(self, servers: list[ClusterServer], weights: list[float]) -> BasePicker:
        """The Picker of servers that all have a weight."""
        raise NotImplementedError


def weighted_servers(
    balancer: str, servers: Sequence[ClusterServer], weigh: Weigh
) -> tuple[list[ClusterServer], list[float]]:
    """The servers that have a weight, and their weights. A warning names some of the others."""
    listed: list[ClusterServer] = []
    weights: list[float] = []
    left_out: list[ClusterServer] = []
    for server in servers:
        weight = weigh(server)
        if weight > 0:
            listed.append(server)
            weights.append(weight)
        else:
            left_out.append(server)
    if left_out:
        CLIENT.warning(
            "the balancer %s gives no calls to %d servers whose tag has no weight: %s",
            balancer,
            len(left_out),
            ", ".join(str(server.node) for server in left_out[:MAX_NAMED]),
        )
    return listed, weights


def whole_weights(weights: Sequence[float]) -> list[int]:
    """Weights as whole numbers above 0 without a common divisor, in the same proportions."""
    if all(weight == int(weight) for weight in weights):
        whole = [int(weight) for weight in weights]
    else:
        whole = [max(round(weight * PARTS), 1) for weight in weights]
    divisor = math.gcd(*whole) if whole else 1
    return [weight // divisor for weight in whole]
