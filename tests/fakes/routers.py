"""A router of servers that are not there, and attempts that end as a test says."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer
from pybrpc.client.cluster.balancing.round_robin import RoundRobin
from pybrpc.client.cluster.breaking.breaker import CircuitBreaker
from pybrpc.client.cluster.breaking.outlier_detection import OutlierDetection
from pybrpc.client.cluster.breaking.retry_budget import RetryBudget
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.client.cluster.pick import Pick
from pybrpc.client.cluster.router import Router, RouterSettings
from pybrpc.client.cluster.server_node import ServerNode
from pybrpc.errors import ErrorCode
from tests.fakes.turns import FakeTurns

FAILED = int(ErrorCode.EINTERNAL)


def node(number: int, tag: str = "") -> ServerNode:
    return ServerNode.parse(f"10.0.0.{number}:8000", tag)


class RouterHarness:
    """A Router on a virtual clock. What it reports is in lists."""

    def __init__(
        self,
        count: int = 3,
        breaker: CircuitBreaker | None = None,
        retry_budget: RetryBudget | None = None,
        balancer: LoadBalancer | None = None,
        turns: FakeTurns | None = None,
    ) -> None:
        self.turns = turns or FakeTurns()
        self.unused: list[ClusterServer] = []
        self.usable_events = 0
        self.none_usable_events = 0
        self.router = Router(
            "list://test",
            balancer or RoundRobin(),
            RouterSettings(breaker or OutlierDetection(slow_start=0), retry_budget),
            self.turns,
            on_usable=self._on_usable,
            on_none_usable=self._on_none_usable,
            on_unused=self.unused.append,
        )
        self.router.set_nodes([node(number) for number in range(count)])

    def _on_usable(self) -> None:
        self.usable_events += 1

    def _on_none_usable(self) -> None:
        self.none_usable_events += 1

    @property
    def servers(self) -> Sequence[ClusterServer]:
        return self.router.servers

    @property
    def states(self) -> list[str]:
        return [str(server.health.state) for server in self.servers]

    def pick(self, tried: tuple[ClusterServer, ...] = ()) -> Pick | None:
        return self.router.pick(tried, None, math.inf)

    def pick_of(self, server: ClusterServer) -> Pick:
        """An attempt that goes to `server`, which must be usable."""
        for _ in range(10 * len(self.servers) + 10):
            pick = self.pick(tuple(each for each in self.servers if each is not server))
            assert pick is not None
            if pick.server is server:
                return pick
            pick.end(0, None)
        raise AssertionError(f"{server} is never picked")

    def call(self, code: int = 0, latency_s: float = 0.001) -> ClusterServer | None:
        """An attempt over any server, which ends after a while. Its server."""
        pick = self.pick()
        if pick is None:
            return None
        self.turns.pass_s(latency_s)
        pick.end(code, None)
        return pick.server

    def fail(self, server: ClusterServer, times: int, code: int = FAILED) -> None:
        """Have as many attempts over `server` fail."""
        for _ in range(times):
            pick = self.pick_of(server)
            self.turns.pass_s(0.001)
            pick.end(code, None)

    def picked(self, times: int) -> dict[ClusterServer, int]:
        """How often each server gets a call that succeeds."""
        counts = dict.fromkeys(self.servers, 0)
        for _ in range(times):
            server = self.call()
            if server is not None:
                counts[server] += 1
        return counts
