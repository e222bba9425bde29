"""HashRing: the points of all servers in order, changed by as little as its list of servers is.

A point and its server are one number of 64 bits: the point in the upper half, the slot of the
server in the lower one. The points of a server are made when it is listed first, and kept until two
lists in a row were without it. A list that changes is merged with the ring of before in slices, so
that threads which pick get the GIL between them; the old ring is not touched.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from pybrpc.base.pacing import paced, pause
from pybrpc.client.cluster.balancing.hashing.ring_points import Points, order_of
from pybrpc.client.cluster.server_node import ServerNode

SLOT_BITS = 32
SLOT_MASK = 2**SLOT_BITS - 1
POINT_BITS = 32
SLICE = 8192
"""Entries that are sorted or merged at once, which takes about 1 ms."""
MANY_SERVERS = 16
"""Fewer new servers are hashed without pauses."""
SERVERS_PER_PAUSE = 4


class HashRing:
    """For one thread. `entries` is never changed once it is there, only replaced."""

    def __init__(self, points: Points, replicas: int, pause: Callable[[], object] = pause) -> None:
        """`replicas`: the points of a server."""
        self.entries = array("Q")
        self.slots: dict[ServerNode, int] = {}
        """The lower half of the entries of a server."""
        self._nodes: dict[int, ServerNode] = {}
        self._points = points
        self._made: dict[ServerNode, array[int]] = {}
        """The points of the servers of this list and of the one before."""
        self._replicas = replicas
        self._pause = pause
        self._free_slots: list[int] = []

    def update(self, nodes: Sequence[ServerNode]) -> None:
        """Have the points of `nodes` and no others."""
        listed = set(nodes)
        kept = listed | self.slots.keys()
        removed = {slot for node, slot in self.slots.items() if node not in listed}
        new = [node for node in listed if node not in self.slots]
        added = self._add(new)
        if not removed and not added:
            return
        entries = self._merged(removed, added)
        self._order_equal_points(entries, added)
        self.entries = entries
        for slot in removed:
            del self.slots[self._nodes.pop(slot)]
        self._free_slots += removed
        self._made = {node: points for node, points in self._made.items() if node in kept}

    def _add(self, nodes: Sequence[ServerNode]) -> array[int]:
        """The entries of servers that are new, in order. The points of many are sorted part by part
        of the ring, over which hashes are spread evenly."""
        part_bits = (len(nodes) * self._replicas // SLICE).bit_length()
        parts: list[list[int]] = [[] for _ in range(1 << part_bits)]
        shift = POINT_BITS - part_bits
        is_long = len(nodes) > MANY_SERVERS
        for node in paced(nodes, SERVERS_PER_PAUSE, self._pause) if is_long else nodes:
            slot = self._free_slots.pop() if self._free_slots else len(self.slots)
            self.slots[node] = slot
            self._nodes[slot] = node
            points = self._made.get(node)
            if points is None:
                points = array("I", self._points(node.endpoint, self._replicas))
                self._made[node] = points
            for point in points:
                parts[point >> shift].append(point << SLOT_BITS | slot)
        added = array("Q")
        for index, part in enumerate(parts):
            parts[index] = []  # so that they are not all freed at once
            part.sort()
            added.fromlist(part)
            if part_bits:
                self._pause()
        return added

    def _merged(self, removed: set[int], added: array[int]) -> array[int]:
        before = self.entries
        merged = array("Q")
        taken = 0
        for start in range(0, len(before), SLICE):
            part = before[start : start + SLICE].tolist()
            stop = bisect_right(added, part[-1], taken)
            if removed:
                part = [entry for entry in part if entry & SLOT_MASK not in removed]
            if stop > taken:
                part += added[taken:stop]
                part.sort()
                taken = stop
            merged.fromlist(part)
            if len(before) > SLICE:
                self._pause()
        merged.extend(added[taken:])
        return merged

    def _order_equal_points(self, entries: array[int], added: array[int]) -> None:
        """Servers with an equal point are in the order of their nodes, in every process."""
        for entry in paced(added, SLICE, self._pause):
            point = entry >> SLOT_BITS
            first = bisect_left(entries, point << SLOT_BITS)
            if first + 1 < len(entries) and entries[first + 1] >> SLOT_BITS == point:
                end = bisect_left(entries, point + 1 << SLOT_BITS)
                group = sorted(entries[first:end], key=self._order)
                entries[first:end] = array("Q", group)

    def _order(self, entry: int) -> tuple[object, ...]:
        node = self._nodes[entry & SLOT_MASK]
        return *order_of(node.endpoint), node.tag
