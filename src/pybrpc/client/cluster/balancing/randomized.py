"""random and wr: any server, or one with a chance in proportion to its weight."""

from __future__ import annotations

import itertools
import random
from bisect import bisect
from collections.abc import Callable, Sequence

from pybrpc.client.cluster.balancing.base_picker import BasePicker
from pybrpc.client.cluster.balancing.weights import WeighingBalancer
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


class DrawingPicker(BasePicker):
    """Draws a server, again if it can't be used; at last one of those that can."""

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
            server = servers[self._draw()]
            if server.is_usable and not (tried and server in tried):
                return server
        candidates = self.candidates(tried)
        if not candidates:
            return self.last_resort(tried)
        return candidates[self._draw_of(candidates)]

    def _draw(self) -> int:
        """The index of one of all servers."""
        return self._draw_of(self.servers)

    def _draw_of(self, servers: Sequence[ClusterServer]) -> int:
        """The index of one of `servers`, which are some of all."""
        return int(self._random() * len(servers))


class RandomizedPicker(DrawingPicker):
    """The Picker of "random"."""

    __slots__ = ()


class WeightedRandomized(WeighingBalancer):
    """The balancer "wr": the chance of a usable server is in proportion to its weight."""

    name = "wr"

    def _picker(self, servers: list[ClusterServer], weights: list[float]) -> BasePicker:
        return WeightedRandomizedPicker(servers, weights, self._random)


class WeightedRandomizedPicker(DrawingPicker):
    """The Picker of "wr"."""

    __slots__ = ("_sums", "_weights")

    def __init__(
        self,
        servers: Sequence[ClusterServer],
        weights: Sequence[float],
        random: Callable[[], float],
    ) -> None:
        DrawingPicker.__init__(self, servers, random)
        self._weights = dict(zip(servers, weights, strict=True))
        self._sums = list(itertools.accumulate(weights))

    def _draw(self) -> int:
        return self._index_in(self._sums)

    def _draw_of(self, servers: Sequence[ClusterServer]) -> int:
        return self._index_in(list(itertools.accumulate(map(self._weights.__getitem__, servers))))

    def _index_in(self, sums: list[float]) -> int:
        """The index of one of the weights that `sums` adds up. Rounding makes none beyond it."""
        return min(bisect(sums, self._random() * sums[-1]), len(sums) - 1)
