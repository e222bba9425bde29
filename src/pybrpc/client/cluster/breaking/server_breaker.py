"""ServerBreaker: the state of a circuit breaker for one server."""

from __future__ import annotations

from pybrpc.client.cluster.balancing.load_balancer import Outcome


class ServerBreaker:
    """Watches the attempts of one server. Any thread; two at once may lose a count.

    The base of all; it never trips. Compiled code calls `note` of this class as a C function.
    """

    __slots__ = ()

    def note(self, outcome: Outcome, latency_s: float, now: float) -> bool:
        """An attempt has ended, as SUCCESS or FAULT. True if the server should be left out."""
        return False

    def reset(self, now: float) -> None:
        """Forget all attempts: the server serves again, or was left out."""
