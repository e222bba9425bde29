"""BasePicker: what the pickers of this package have in common."""

from __future__ import annotations

from collections.abc import Sequence

from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.client.cluster.cluster_server import ClusterServer


class BasePicker:
    """A Picker that keeps no figures. Compiled code calls `pick` of this class as a C function."""

    __slots__ = ("servers",)

    servers: tuple[ClusterServer, ...]

    def __init__(self, servers: Sequence[ClusterServer]) -> None:
        self.servers = tuple(servers)

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """See `Picker`."""
        return self.last_resort(tried)

    def on_begin(self, server: ClusterServer, now: float) -> None:
        """See `Picker`."""

    def on_end(
        self, server: ClusterServer, begun_at: float, now: float, outcome: Outcome, limit_s: float
    ) -> None:
        """See `Picker`."""

    def candidates(self, tried: tuple[ClusterServer, ...]) -> list[ClusterServer]:
        """The usable servers that are not in `tried`. Looks at all servers."""
        return [
            server
            for server in self.servers
            if server.is_usable and not (tried and server in tried)
        ]

    def last_resort(self, tried: tuple[ClusterServer, ...]) -> ClusterServer | None:
        """The first usable server that was not tried; if all were, the usable one that was tried
        longest ago; `None` if none is usable. Looks at all servers."""
        for server in self.servers:
            if server.is_usable and not (tried and server in tried):
                return server
        for server in tried:
            if server.is_usable and server in self.servers:
                return server
        return None
