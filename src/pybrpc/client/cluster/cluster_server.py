"""ClusterServer: one server of a cluster, and what the channel knows of it."""

from __future__ import annotations

from typing import Any

from pybrpc.base.atomic import atomic_counter
from pybrpc.client.cluster.server_node import ServerNode


class ClusterServer:
    """Kept as long as the naming service lists its node, so that its figures outlive the lists.

    Any thread may read it. The fields are changed by the router; `load` belongs to the balancer.
    """

    __slots__ = (
        "_is_listed",
        "_uses",
        "full_weight",
        "gate",
        "health",
        "is_usable",
        "load",
        "node",
        "source",
        "weight",
    )

    node: ServerNode
    full_weight: float
    """The weight that it has or, after a slow start, will have: that of its node, 1 if that has
    none; where a subset has only a part of the server, as much of it. Above 0."""
    weight: float
    """Its share of the calls now, relative to others: `full_weight`, or less in a slow start, which
    the balancers respect that look at it with each pick. Above 0."""
    is_usable: bool
    """Whether a balancer may pick it: it can be reached, has not logged off, and is not ejected."""
    load: Any
    """Figures that the balancer keeps for it; `None`: none."""
    gate: Any
    """Lets in a part of the calls only; `None`: all. See `breaking.gates`."""
    health: Any
    """Its ServerHealth; `None` outside of a router."""
    source: Any
    """The source of the connections to it; `None` before its first attempt."""

    def __init__(self, node: ServerNode, source: Any = None) -> None:
        self.node = node
        self.weight = self.full_weight = 1.0 if node.weight is None else node.weight
        self._is_listed = True
        self._uses = atomic_counter(1)
        """Attempts in flight, and one more as long as it is listed."""
        self.is_usable = True
        self.load = None
        self.gate = None
        self.health = None
        self.source = source

    @property
    def in_flight(self) -> int:
        """Attempts of this channel that have begun and not ended."""
        return self.count_in_flight()

    def count_in_flight(self) -> int:
        """`in_flight`, for compiled code, to which a method costs less than a property."""
        return self._uses.get() - self._is_listed

    def begin(self) -> bool:
        """Count an attempt, before the balancer is notified of it; exactly one `end` follows. False
        if the server has left the list, and its connections are gone: then nothing is counted."""
        uses = self._uses.get()
        while uses > 0:
            if self._uses.compare_and_set(uses, uses + 1):
                return True
            uses = self._uses.get()
        return False

    def end(self) -> bool:
        """Uncount an attempt that has ended. True if it was the last one of a server that has left
        the list."""
        return self._uses.decrement_and_get(1) == 0

    def leave_list(self) -> bool:
        """The naming service lists it no more. True if no attempt is in flight."""
        self._is_listed = False
        return self._uses.decrement_and_get(1) == 0

    def __repr__(self) -> str:
        state = "usable" if self.is_usable else "not usable"
        return f"<ClusterServer {self.node}, {state}, {self.in_flight} calls in flight>"
