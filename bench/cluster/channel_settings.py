"""ChannelSettings: what of a channel's options matters to a simulated cluster."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from pybrpc.client.channel.options import DEFAULT_RETRY_BUDGET
from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer
from pybrpc.client.cluster.balancing.registry import new_load_balancer
from pybrpc.client.cluster.breaking.breaker import CircuitBreaker
from pybrpc.client.cluster.breaking.outlier_detection import OutlierDetection
from pybrpc.client.cluster.breaking.retry_budget import RetryBudget
from pybrpc.client.cluster.breaking.server_breaker import ServerBreaker
from pybrpc.client.cluster.router import Router

NewBalancer = Callable[[random.Random], LoadBalancer]


class NoBreaker(CircuitBreaker):
    """Ejects nobody, and servers that come get their full share at once."""

    def __init__(self) -> None:
        super().__init__(slow_start=0.0)

    def new_server_breaker(self) -> ServerBreaker:
        return ServerBreaker()


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """As the options of a channel of these names; by default as a channel has them."""

    load_balancer: str | NewBalancer = "p2c_ewma"
    breaker: CircuitBreaker = field(default_factory=OutlierDetection)
    retry_budget: RetryBudget | None = DEFAULT_RETRY_BUDGET
    router: type[Router] = Router
    """The Router, or a mutant of it."""

    def new_balancer(self, source: random.Random) -> LoadBalancer:
        """The balancer of one client."""
        made = self.load_balancer
        return new_load_balancer(made, source) if isinstance(made, str) else made(source)


def balancer_alone(load_balancer: str | NewBalancer) -> ChannelSettings:
    """Without breaker, slow start and retry budget: what is seen is the balancer's work."""
    return ChannelSettings(load_balancer, NoBreaker(), None)
