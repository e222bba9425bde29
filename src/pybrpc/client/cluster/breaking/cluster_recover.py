"""ClusterRecover: after all servers of a cluster were down, let calls in little by little."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable

from pybrpc.client.cluster.breaking.breaker import check_count, check_seconds


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


class Recovery:
    """The state of a ClusterRecover. Any thread."""

    __slots__ = ("_changed_at", "_draw", "_options", "_usable", "is_on")

    def __init__(self, options: ClusterRecover, draw: Callable[[], float] = random.random) -> None:
        self._options = options
        self._draw = draw
        self._usable = 0
        self._changed_at = math.inf
        self.is_on = False

    def begin(self) -> None:
        """No server is usable."""
        self.is_on = True

    def rejects(self, usable: int, now: float) -> bool:
        """Whether a call is not let in, with so many usable servers."""
        if usable != self._usable:
            self._usable = usable
            self._changed_at = now
        elif usable and now - self._changed_at > self._options.hold_seconds:
            self.is_on = False
            self._usable = 0
            self._changed_at = math.inf
            return False
        return self._draw() * self._options.min_working_instances >= usable

    def __repr__(self) -> str:
        return f"<Recovery {'on' if self.is_on else 'off'}, {self._usable} servers usable>"
