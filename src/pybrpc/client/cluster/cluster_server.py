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
        "gate",
        "health",
        "in_flight",
        "is_usable",
        "load",
        "node",
        "source",
        "weight",
    )

    node: ServerNode
    weight: float
    """Its share of the calls, relative to others: that of its node, 1 if that has none."""
    in_flight: int
    """Attempts of this channel that have begun and not ended."""
    is_usable: bool
    """Whether a balancer may pick it: it can be reached, has not logged off, and is not ejected."""
    load: Any
    """Figures that the balancer keeps for it; `None`: none."""
    gate: Any
    """Lets in a part of the calls only; `None`: all. See `breaking.gates`."""
    health: Any
    """Its ServerHealth; `None` outside of a router."""
    source: Any
    """The source of the connections to it; `None` where there are none."""

    def __init__(self, node: ServerNode, source: Any = None) -> None:
        self.node = node
        self.weight = 1.0 if node.weight is None else node.weight
        self.in_flight = 0
        self.is_usable = True
        self.load = None
        self.gate = None
        self.health = None
        self.source = source
        self._is_listed = True
        self._uses = atomic_counter(1)
        """Attempts in flight, and one more as long as it is listed."""

    @property
    def is_listed(self) -> bool:
        """Whether the naming service lists it."""
        return self._is_listed

    def begin_use(self) -> bool:
        """An attempt begins. False if the server has left the list and its connections are gone."""
        uses = self._uses.get()
        while uses > 0:
            if self._uses.compare_and_set(uses, uses + 1):
                self._note(uses + 1)
                return True
            uses = self._uses.get()
        return False

    def end_use(self) -> bool:
        """An attempt has ended. True if it was the last one of a server that is not listed."""
        return self._note(self._uses.decrement_and_get(1)) == 0

    def unlist(self) -> bool:
        """It has left the list. True if no attempt is in flight."""
        self._is_listed = False
        return self._note(self._uses.decrement_and_get(1)) == 0

    def _note(self, uses: int) -> int:
        self.in_flight = uses - self._is_listed
        return uses

    def __repr__(self) -> str:
        state = "usable" if self.is_usable else "not usable"
        return f"<ClusterServer {self.node}, {state}, {self.in_flight} calls in flight>"
