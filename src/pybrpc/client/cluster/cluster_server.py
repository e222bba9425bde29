"""ClusterServer: one server of a cluster, and what the channel knows of it."""

from __future__ import annotations

from typing import Any

from pybrpc.client.cluster.server_node import ServerNode


class ClusterServer:
    """Kept as long as the naming service lists its node, so that its figures outlive the lists.

    Any thread may read it. The fields are changed by the router; `load` belongs to the balancer.
    """

    __slots__ = ("in_flight", "is_usable", "load", "node", "source", "weight")

    node: ServerNode
    weight: float
    """Its share of the calls, relative to others: that of its node, 1 if that has none."""
    in_flight: int
    """Attempts of this channel that have begun and not ended."""
    is_usable: bool
    """Whether a balancer may pick it: it can be reached, has not logged off, and is not ejected."""
    load: Any
    """Figures that the balancer keeps for it; `None`: none."""
    source: Any
    """The source of the connections to it, which the router knows; `None` where there are none."""

    def __init__(self, node: ServerNode, source: Any = None) -> None:
        self.node = node
        self.weight = 1.0 if node.weight is None else node.weight
        self.in_flight = 0
        self.is_usable = True
        self.load = None
        self.source = source

    def __repr__(self) -> str:
        state = "usable" if self.is_usable else "not usable"
        return f"<ClusterServer {self.node}, {state}, {self.in_flight} calls in flight>"
