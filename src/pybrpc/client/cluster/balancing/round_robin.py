"""rr: each server in turn."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pybrpc.base.atomic import atomic_counter
from pybrpc.client.cluster.balancing.base_picker import BasePicker
from pybrpc.client.cluster.cluster_server import ClusterServer


class RoundRobin:
    """The balancer "rr". One counter for all threads: of n picks over n servers that can all be
    used, each server gets one."""

    name = "rr"
    needs_hash_key = False

    def __init__(self, source: random.Random | None = None) -> None:
        """`source`: where its random numbers come from, if not from `random`."""
        self._random = random.random if source is None else source.random

    def new_picker(self, servers: Sequence[ClusterServer]) -> RoundRobinPicker:
        """It begins at a random server, so that clients which start together don't keep step."""
        return RoundRobinPicker(servers, int(self._random() * len(servers)))


class RoundRobinPicker(BasePicker):
    """Gives the turn of a server that can't be used to the next one in line. That turn is over
    then, so no neighbour of a broken server gets the calls of two."""

    __slots__ = ("_turns",)

    def __init__(self, servers: Sequence[ClusterServer], start: int = 0) -> None:
        BasePicker.__init__(self, servers)
        self._turns = atomic_counter(start)

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """See `Picker`."""
        servers = self.servers
        count = len(servers)
        for _ in range(count):
            server = servers[self._turns.increment_and_get() % count]
            if server.is_usable and not (tried and server in tried):
                return server
        # Also if other threads have taken the turns of all usable servers meanwhile.
        return self.last_resort(tried)
