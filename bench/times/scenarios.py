"""The scenarios of `python -m bench.times`, and how large they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.times import connections, tls
from bench.times.found import Found
from bench.times.site import Site
from soak.tls import has_tls


def always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Scenario:
    """Something goes wrong `count` times, or `quick_count` times in a quick run."""

    run: Callable[[Site, int], Iterator[Found]]
    count: int
    quick_count: int
    is_possible: Callable[[], bool] = always

    @property
    def question(self) -> str:
        return (self.run.__doc__ or "").partition("\n")[0]


SCENARIOS = {
    "broken_connection": Scenario(connections.broken_connection, 200_000, 2_000),
    "producer": Scenario(connections.producer, 200_000, 2_000),
    "queued_requests": Scenario(connections.queued_requests, 1_000_000, 5_000),
    "cancelled_requests": Scenario(connections.cancelled_requests, 200_000, 2_000),
    "slow_callback": Scenario(connections.slow_callback, 2_000, 200),
    "handshakes": Scenario(tls.handshakes, 800, 20, has_tls),
    "uploads_to_a_loop": Scenario(tls.uploads_to_a_loop, 400, 10, has_tls),
    "key_updates": Scenario(tls.key_updates, 300_000, 2_000, has_tls),
}
