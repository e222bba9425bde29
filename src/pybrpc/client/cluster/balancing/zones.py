"""Zone preference: calls stay in the zone of the client, as long as its servers can take them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from pybrpc.client.cluster.balancing.base_picker import BasePicker
from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer, Outcome, Picker
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.rpc.hash_key import mixed

OVERPROVISIONING = 1.4
"""With 1 / 1.4 = 71 % of its servers usable, a zone still gets all calls of its clients; with
fewer, a part in proportion. Envoy has this factor."""
COUNTED_AGAIN_S = 0.1
"""Seconds after which the usable servers of the zone are counted again."""


class ZoneBalancer:
    """Two balancers of one kind: for the servers of the client's zone, and for all others."""

    def __init__(
        self,
        new_balancer: Callable[[], LoadBalancer],
        zone: str,
        client_share: float = 0.0,
        source: random.Random | None = None,
    ) -> None:
        """`client_share`: the part of all clients that is in this zone, above 0 and at most 1. If
        it is more than the zone's part of the servers, the zone gets fewer calls. 0: not known."""
        self._near = new_balancer()
        self._far = new_balancer()
        self.name = self._near.name
        self.needs_hash_key = self._near.needs_hash_key
        self._zone = zone
        self._client_share = client_share
        self._random = random.random if source is None else source.random

    def new_picker(self, servers: Sequence[ClusterServer]) -> ZonePicker:
        """See `LoadBalancer`."""
        near = [server for server in servers if server.node.zone == self._zone]
        far = [server for server in servers if server.node.zone != self._zone]
        most = 1.0
        if self._client_share and servers:
            most = min(len(near) / len(servers) / self._client_share, 1.0)
        return ZonePicker(
            self._zone,
            servers,
            self._near.new_picker(near),
            self._far.new_picker(far),
            most,
            self._random,
        )


class ZonePicker(BasePicker):
    """The Picker of both. A call whose attempts have failed in the zone leaves it only when all
    servers of the zone were tried."""

    __slots__ = (
        "_counted_at",
        "_far",
        "_most",
        "_near",
        "_near_share",
        "_random",
        "_zone",
    )

    def __init__(
        self,
        zone: str,
        servers: Sequence[ClusterServer],
        near: Picker,
        far: Picker,
        most: float,
        random: Callable[[], float],
    ) -> None:
        """`most`: the part of the calls that stays in the zone if all of its servers are usable."""
        BasePicker.__init__(self, servers)
        self._zone = zone
        self._near = near
        self._far = far
        self._most = most
        self._random = random
        self._near_share = 0.0
        self._counted_at = -math.inf

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """See `Picker`."""
        if now - self._counted_at >= COUNTED_AGAIN_S:
            self._count()
            self._counted_at = now
        first, second = self._near, self._far
        share = self._near_share
        if share < 1.0 and self._place(hash_key) >= share:
            first, second = second, first
        server = first.pick(tried, hash_key, now)
        if server is not None and server not in tried:
            return server
        other = second.pick(tried, hash_key, now)
        if server is None or (other is not None and other not in tried):
            return other
        return server

    def on_begin(self, server: ClusterServer, now: float) -> None:
        """See `Picker`."""
        self._picker_of(server).on_begin(server, now)

    def on_end(
        self, server: ClusterServer, begun_at: float, now: float, outcome: Outcome, limit_s: float
    ) -> None:
        """See `Picker`."""
        self._picker_of(server).on_end(server, begun_at, now, outcome, limit_s)

    def _picker_of(self, server: ClusterServer) -> Picker:
        return self._near if server.node.zone == self._zone else self._far

    def _count(self) -> None:
        near = self._near.servers
        usable = sum(server.is_usable for server in near)
        share = min(OVERPROVISIONING * usable / len(near), 1.0) if near else 0.0
        self._near_share = share * self._most

    def _place(self, hash_key: int | None) -> float:
        """From 0 to 1: at random, but always the same for a hash key."""
        return self._random() if hash_key is None else mixed(hash_key) / 2.0**64
