"""Cluster recover: when no server was usable, let the first ones that come back not be overrun.

As bRPC's DefaultClusterRecoverPolicy (cluster_recover_policy.cpp), for every balancer.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence

from pybrpc.client.cluster.balancing.base_picker import BasePicker
from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer, Outcome, Picker
from pybrpc.client.cluster.breaking.checked_numbers import check_count, check_seconds
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.errors import ErrorCode, make_rpc_error

COUNTED_AGAIN_S = 0.01
"""Seconds after which the usable servers are counted again."""


@dataclasses.dataclass(frozen=True)
class ClusterRecover:
    """When no server was usable, the first ones that come back are not given all calls at once.

    min_working_instances  servers that can carry all calls. With fewer, that share of the calls is
                           let in, and the others fail at once with EREJECT, which is not retried
    hold_seconds           it ends when the number of usable servers has not changed for so long

    After bRPC's cluster_recover_policy; for every balancer.
    """

    min_working_instances: int
    hold_seconds: float

    def __post_init__(self) -> None:
        check_count("min_working_instances", self.min_working_instances)
        check_seconds("hold_seconds", self.hold_seconds, is_zero_allowed=False)


class RecoveringBalancer:
    """Another balancer, and the state of its recovery, which outlives lists.

    A recovery begins when a pick finds no usable server. Then a pick is rejected with the chance
    1 - usable / min_working_instances, with the error EREJECT, which is not retried. It ends when
    the number of usable servers has been the same, and not 0, for `hold_s` seconds.
    """

    def __init__(
        self,
        inner: LoadBalancer,
        min_working_instances: int,
        hold_s: float,
        source: random.Random | None = None,
    ) -> None:
        self.name = inner.name
        self.needs_hash_key = inner.needs_hash_key
        self._inner = inner
        self._recovery = Recovery(
            min_working_instances, hold_s, random.random if source is None else source.random
        )

    def new_picker(self, servers: Sequence[ClusterServer]) -> RecoveringPicker:
        """See `LoadBalancer`."""
        return RecoveringPicker(self._inner.new_picker(servers), self._recovery)


class Recovery:
    """How far a recovery has come. Threads that count at the same time count alike."""

    __slots__ = (
        "_counted_at",
        "_hold_s",
        "_needed",
        "_random",
        "_usable",
        "_usable_since",
        "is_on",
    )

    def __init__(self, needed: int, hold_s: float, random: Callable[[], float]) -> None:
        self._needed = needed
        self._hold_s = hold_s
        self._random = random
        self.is_on = False
        self._begin()

    def _begin(self) -> None:
        self._usable = 0
        self._usable_since = 0.0
        self._counted_at: float | None = None

    def start(self) -> None:
        """No server is usable."""
        if not self.is_on:
            self._begin()
            self.is_on = True

    def rejects(self, servers: Sequence[ClusterServer], now: float) -> bool:
        """Whether a call must not be sent now. To be asked while `is_on`."""
        if self._counted_at is None or now - self._counted_at >= COUNTED_AGAIN_S:
            self._counted_at = now
            usable = sum(server.is_usable for server in servers)
            if usable != self._usable:
                self._usable, self._usable_since = usable, now
        if self._usable and now - self._usable_since > self._hold_s:
            self.is_on = False
            return False
        return int(self._random() * self._needed) >= self._usable


class RecoveringPicker(BasePicker):
    """The Picker of the inner balancer, asked only for calls that are not rejected."""

    __slots__ = ("_inner", "_recovery")

    def __init__(self, inner: Picker, recovery: Recovery) -> None:
        BasePicker.__init__(self, inner.servers)
        self._inner = inner
        self._recovery = recovery

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """See `Picker`. EREJECT while too few servers have come back."""
        recovery = self._recovery
        if recovery.is_on and recovery.rejects(self.servers, now):
            raise make_rpc_error(
                ErrorCode.EREJECT, "the servers of the cluster are coming back: too few are usable"
            )
        server = self._inner.pick(tried, hash_key, now)
        if server is None and self.servers:
            recovery.start()
        return server

    def on_begin(self, server: ClusterServer, now: float) -> None:
        """See `Picker`."""
        self._inner.on_begin(server, now)

    def on_end(
        self, server: ClusterServer, begun_at: float, now: float, outcome: Outcome, limit_s: float
    ) -> None:
        """See `Picker`."""
        self._inner.on_end(server, begun_at, now, outcome, limit_s)
