"""wrr: each server as often as its weight says, evenly spread.

Think of a circle of as many slots as the weights add up to, on which each server has as many slots
in a row as its weight. A pick goes on by a stride. Stride and number of slots have no common
divisor, so that one round over all slots gives each server exactly its weight. And the stride is
about 0.618 of the circle, the golden ratio, so that the picks of a server keep about equal
distances within the round. A position is all the state: one counter for all threads.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect
from collections.abc import Callable, Sequence

from pybrpc.base.atomic import atomic_counter
from pybrpc.client.cluster.balancing.base_picker import BasePicker
from pybrpc.client.cluster.balancing.weights import WeighingBalancer, whole_weights
from pybrpc.client.cluster.cluster_server import ClusterServer

GOLDEN_RATIO = 0.6180339887498949
MAX_CYCLE = 4096
"""The most slots of a circle whose round is kept as a list, where a pick costs least."""


class WeightedRoundRobin(WeighingBalancer):
    """The balancer "wrr"."""

    name = "wrr"

    def _picker(self, servers: list[ClusterServer], weights: list[float]) -> BasePicker:
        return WeightedRoundRobinPicker(servers, weights, self._random)


class WeightedRoundRobinPicker(BasePicker):
    """The Picker of "wrr". Its circle has the servers that were usable when it was drawn. A pick
    that meets another one, or sees that one has come back, draws the circle again."""

    __slots__ = ("_circle", "_random", "_weights")

    def __init__(
        self,
        servers: Sequence[ClusterServer],
        weights: Sequence[float],
        random: Callable[[], float],
    ) -> None:
        BasePicker.__init__(self, servers)
        self._random = random
        self._weights = dict(zip(self.servers, whole_weights(weights), strict=True))
        self._circle = self._drawn_again(has_cycle=True)

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """See `Picker`."""
        circle = self._circle
        if circle.misses_some():
            circle = self._circle = self._drawn_again()
        server = circle.next_server()
        if server is None or not server.is_usable:
            circle = self._circle = self._drawn_again()
            server = circle.next_server()
        if server is None or (server.is_usable and not (tried and server in tried)):
            return server
        return self._other(tried)

    def _drawn_again(self, has_cycle: bool = False) -> Circle:
        usable = self.candidates(())
        left_out = (
            []
            if len(usable) == len(self.servers)
            else [server for server in self.servers if not server.is_usable]
        )
        weights = whole_weights([self._weights[server] for server in usable])
        return Circle(usable, weights, left_out, self._random(), has_cycle)

    def _other(self, tried: tuple[ClusterServer, ...]) -> ClusterServer | None:
        """For a call whose earlier attempts were at the server whose turn it is."""
        candidates = self.candidates(tried)
        if not candidates:
            return self.last_resort(tried)
        sums = list(itertools.accumulate(self._weights[server] for server in candidates))
        return candidates[bisect(sums, int(self._random() * sums[-1]))]


class Circle:
    """The slots of the servers, and how far the picks have come. Does not change otherwise."""

    __slots__ = ("_cycle", "_left_out", "_position", "_servers", "_stride", "_sums", "_total")

    def __init__(
        self,
        servers: Sequence[ClusterServer],
        weights: Sequence[int],
        left_out: Sequence[ClusterServer] = (),
        start: float = 0.0,
        has_cycle: bool = False,
    ) -> None:
        """`left_out`: servers that get slots when they can be used again. `start`: from 0 to 1,
        where on the circle the first pick is."""
        self._servers = tuple(servers)
        self._left_out = tuple(left_out)
        self._sums = list(itertools.accumulate(weights))
        self._total = self._sums[-1] if self._sums else 0
        self._stride = stride_for(self._total)
        self._position = atomic_counter(int(start * self._total))
        self._cycle: tuple[ClusterServer, ...] = ()
        if has_cycle and self._total <= MAX_CYCLE:
            self._cycle = tuple(self._server_at(place) for place in range(self._total))

    def misses_some(self) -> bool:
        """Whether a server without slots can be used again. Looks at one in each pick."""
        left_out = self._left_out
        return bool(left_out) and left_out[self._position.get() % len(left_out)].is_usable

    def next_server(self) -> ClusterServer | None:
        """The server whose turn it is; `None` if there is none at all."""
        if not self._total:
            return None
        place = self._position.increment_and_get() % self._total
        return self._cycle[place] if self._cycle else self._server_at(place)

    def _server_at(self, place: int) -> ClusterServer:
        return self._servers[bisect(self._sums, place * self._stride % self._total)]


def stride_for(total: int) -> int:
    """A number without a common divisor with `total`, as near to 0.618 of it as there is one."""
    if total < 3:
        return 1
    wanted = round(total * GOLDEN_RATIO)
    distance = 0
    while True:  # It ends at 1 at the latest.
        for stride in (wanted - distance, wanted + distance):
            if math.gcd(stride, total) == 1:
                return stride
        distance += 1
