"""random and wr: any server, or one with a chance in proportion to its weight."""

from __future__ import annotations

import itertools
import random
from bisect import bisect
from collections.abc import Callable, Sequence

from pybrpc.client.cluster.balancing.base_picker import BasePicker
from pybrpc.client.cluster.balancing.weights import Weigh, weigh_by_tag, weighted_servers
from pybrpc.client.cluster.cluster_server import ClusterServer

MAX_DRAWS = 8
"""Draws that may meet servers which can't be used, before a pick looks at all servers."""


class Randomized:
    """The balancer "random": each usable server has the same chance."""

    name = "random"
    needs_hash_key = False

    def __init__(self, source: random.Random | None = None) -> None:
        """`source`: where its random numbers come from, if not from `random`."""
        self._random = random.random if source is None else source.random

    def new_picker(self, servers: Sequence[ClusterServer]) -> RandomizedPicker:
        """See `LoadBalancer`."""
        return RandomizedPicker(servers, self._random)


class RandomizedPicker(BasePicker):
    """The Picker of "random"."""

    __slots__ = ("_random",)

    def __init__(self, servers: Sequence[ClusterServer], random: Callable[[], float]) -> None:
        BasePicker.__init__(self, servers)
        self._random = random

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """See `Picker`."""
        servers = self.servers
        if not servers:
            return None
        for _ in range(MAX_DRAWS):
            server = servers[int(self._random() * len(servers))]
            if server.is_usable and not (tried and server in tried):
                return server
        candidates = self.candidates(tried)
        if not candidates:
            return self.last_resort(tried)
        return candidates[int(self._random() * len(candidates))]


class WeightedRandomized:
    """The balancer "wr": the chance of a usable server is in proportion to its weight.

    As in bRPC, a server whose tag has no weight gets no calls, unless `weigh` gives it one.
    """

    name = "wr"
    needs_hash_key = False

    def __init__(self, weigh: Weigh | None = None, source: random.Random | None = None) -> None:
        """`weigh`: the weights, if not those of the tags. `source`: where its random numbers come
        from, if not from `random`."""
        self._weigh = weigh or weigh_by_tag(0.0)
        self._random = random.random if source is None else source.random

    def new_picker(self, servers: Sequence[ClusterServer]) -> WeightedRandomizedPicker:
        """See `LoadBalancer`. Warns of servers without a weight."""
        listed, weights = weighted_servers(self.name, servers, self._weigh)
        return WeightedRandomizedPicker(listed, weights, self._random)


class WeightedRandomizedPicker(BasePicker):
    """The Picker of "wr"."""

    __slots__ = ("_random", "_sums", "_weights")

    def __init__(
        self,
        servers: Sequence[ClusterServer],
        weights: Sequence[float],
        random: Callable[[], float],
    ) -> None:
        BasePicker.__init__(self, servers)
        self._weights = dict(zip(servers, weights, strict=True))
        self._sums = list(itertools.accumulate(weights))
        self._random = random

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """See `Picker`."""
        servers = self.servers
        if not servers:
            return None
        for _ in range(MAX_DRAWS):
            server = servers[self._draw(self._sums)]
            if server.is_usable and not (tried and server in tried):
                return server
        candidates = self.candidates(tried)
        if not candidates:
            return self.last_resort(tried)
        return candidates[
            self._draw(list(itertools.accumulate(self._weights[server] for server in candidates)))
        ]

    def _draw(self, sums: list[float]) -> int:
        """The index of one of the weights that `sums` adds up. Rounding makes none beyond it."""
        return min(bisect(sums, self._random() * sums[-1]), len(sums) - 1)
