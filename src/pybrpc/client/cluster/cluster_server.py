"""ClusterServer: one server of a cluster, and what the channel knows of it."""

from __future__ import annotations

from typing import Any

from pybrpc.base.atomic import atomic_counter
from pybrpc.client.cluster.server_node import ServerNode


class ClusterServer:
    """Kept as long as the naming service lists its node, so that its figures outlive the lists.

    Any thread may read it. The fields are changed by the router; `load` belongs to the balancer.
    """

    __slots__ = ("_in_flight", "full_weight", "is_usable", "load", "node", "source", "weight")

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
    source: Any
    """The source of the connections to it, which the router knows; `None` where there are none."""

    def __init__(self, node: ServerNode, source: Any = None) -> None:
        self.node = node
        self.weight = self.full_weight = 1.0 if node.weight is None else node.weight
        self._in_flight = atomic_counter()
        self.is_usable = True
        self.load = None
        self.source = source

    @property
    def in_flight(self) -> int:
        """Attempts of this channel that have begun and not ended."""
        return self._in_flight.get()

    def count_in_flight(self) -> int:
        """`in_flight`, for compiled code, to which a method costs less than a property."""
        return self._in_flight.get()

    def begin(self) -> None:
        """Count an attempt, before the balancer is notified of it. Exactly one `end` follows."""
        self._in_flight.increment_and_get()

    def end(self) -> None:
        """Uncount an attempt that has ended."""
        self._in_flight.decrement_and_get()

    def __repr__(self) -> str:
        state = "usable" if self.is_usable else "not usable"
        return f"<ClusterServer {self.node}, {state}, {self.in_flight} calls in flight>"
