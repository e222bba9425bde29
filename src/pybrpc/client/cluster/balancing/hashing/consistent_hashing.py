"""c_murmurhash, c_md5, c_ketama: bRPC's rings; c_murmurhash_bl: a ring with bounded load.

A call goes to the server of the first point at or after its hash key, or of the first of all points
if there is none. If that can't be used, or was tried, the points after it are asked. So a server
that comes or goes moves only the keys of its own points.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence

from pybrpc.base.atomic import AtomicCounter, atomic_counter
from pybrpc.client.cluster.balancing.base_picker import BasePicker
from pybrpc.client.cluster.balancing.hashing.hash_ring import SLOT_BITS, SLOT_MASK, HashRing
from pybrpc.client.cluster.balancing.hashing.ring_points import (
    Points,
    ketama_points,
    md5_points,
    murmur_points,
)
from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.rpc.hash_key import MAX_REQUEST_CODE

POINTS: dict[str, Points] = {
    "c_murmurhash": murmur_points,
    "c_md5": md5_points,
    "c_ketama": ketama_points,
    "c_murmurhash_bl": murmur_points,
}
DEFAULT_REPLICAS = 100
COUNTED_AGAIN_S = 0.1
"""Seconds after which the usable servers are counted again, for the bound of a server."""


class ConsistentHashing:
    """The balancers of these names. Calls need a hash key; weights don't matter."""

    needs_hash_key = True

    def __init__(
        self,
        name: str = "c_murmurhash",
        replicas: int = DEFAULT_REPLICAS,
        load_factor: float | None = None,
    ) -> None:
        """`load_factor`: no server gets more than as many times the mean of the calls in flight;
        `None`: no bound."""
        self.name = name
        self._ring = HashRing(POINTS[name], replicas)
        self._load_factor = load_factor
        self._in_flight = atomic_counter()

    def new_picker(self, servers: Sequence[ClusterServer]) -> RingPicker:
        """See `LoadBalancer`. Of two servers with one node, the first is listed."""
        by_node = {server.node: server for server in reversed(servers)}
        self._ring.update(list(by_node))
        slots = self._ring.slots
        by_slot: list[ClusterServer | None] = [None] * (max(slots.values(), default=-1) + 1)
        for node, slot in slots.items():
            by_slot[slot] = by_node[node]
        if self._load_factor is None:
            return RingPicker(servers, self._ring.entries, by_slot)
        return BoundedRingPicker(
            servers, self._ring.entries, by_slot, self._load_factor, self._in_flight
        )


class RingPicker(BasePicker):
    """The Picker of a ring."""

    __slots__ = ("_by_slot", "_entries")

    def __init__(
        self,
        servers: Sequence[ClusterServer],
        entries: array[int],
        by_slot: Sequence[ClusterServer | None],
    ) -> None:
        BasePicker.__init__(self, servers)
        self._entries = entries
        self._by_slot = tuple(by_slot)

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """See `Picker`."""
        return self._walk(tried, hash_key, math.inf)

    def _walk(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, bound: float
    ) -> ClusterServer | None:
        """The next server that has fewer calls in flight than `bound`, or the next one that can be
        used. It looks at each point once at most, and gives up early if none can be used."""
        if hash_key is None:
            raise ValueError("a call through a balancer by hash needs a hash_key")
        entries, by_slot = self._entries, self._by_slot
        size = len(entries)
        code = hash_key if hash_key <= MAX_REQUEST_CODE else hash_key >> 32
        place = bisect_left(entries, code << SLOT_BITS)
        patience = len(self.servers)
        server: ClusterServer | None
        first: ClusterServer | None = None
        for step in range(size):
            server = by_slot[entries[(place + step) % size] & SLOT_MASK]
            if server is not None and server.is_usable and not (tried and server in tried):
                if server.in_flight < bound:
                    return server
                if first is None:
                    first = server
            elif step == patience and first is None and not self.candidates(tried):
                break
        return first if first is not None else self.last_resort(tried)


class BoundedRingPicker(RingPicker):
    """The Picker of a ring with bounded load."""

    __slots__ = ("_counted_at", "_in_flight", "_load_factor", "_usable")

    def __init__(
        self,
        servers: Sequence[ClusterServer],
        entries: array[int],
        by_slot: Sequence[ClusterServer | None],
        load_factor: float,
        in_flight: AtomicCounter,
    ) -> None:
        """`in_flight`: of the balancer; attempts that a later Picker ends count down in it too."""
        RingPicker.__init__(self, servers, entries, by_slot)
        self._load_factor = load_factor
        self._in_flight = in_flight
        self._usable = 0
        self._counted_at = -math.inf

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """See `Picker`."""
        if now - self._counted_at >= COUNTED_AGAIN_S:
            self._usable = len(self.candidates(()))
            self._counted_at = now
        in_flight = self._in_flight.get() + 1
        bound = math.ceil(self._load_factor * in_flight / max(self._usable, 1))
        return self._walk(tried, hash_key, bound)

    def on_begin(self, server: ClusterServer, now: float) -> None:
        """See `Picker`."""
        self._in_flight.increment_and_get()

    def on_end(
        self, server: ClusterServer, begun_at: float, now: float, outcome: Outcome, limit_s: float
    ) -> None:
        """See `Picker`."""
        self._in_flight.decrement_and_get()
