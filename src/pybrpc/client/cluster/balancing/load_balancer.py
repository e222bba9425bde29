"""LoadBalancer: the interface of all balancers, those of users too."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

from pybrpc.client.cluster.cluster_server import ClusterServer


class Outcome(enum.Enum):
    """How an attempt ended, as a verdict on its server."""

    SUCCESS = "success"
    """A response, even with an error for which the caller is to blame."""
    FAULT = "fault"
    """The server's fault: its connection broke, it was too slow, or too busy to answer."""
    REFUSED = "refused"
    """The server has refused it at once, since it is busy (ELIMIT): no fault, but a reason to give
    it fewer calls."""
    NEUTRAL = "neutral"
    """Says nothing: the caller cancelled it. The time so far is a lower bound of its latency."""
    OVERTAKEN = "overtaken"
    """Another attempt of the call was faster: the time so far is a lower bound of its latency."""


class Picker(Protocol):
    """Picks servers of one list, which never changes. Any number of threads use it at once.

    A method that raises fails the call. None may block or take long.
    """

    @property
    def servers(self) -> Sequence[ClusterServer]:
        """The list."""

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """The server for an attempt that begins now.

        One that `is_usable` and is not in `tried`, the servers of the call's earlier attempts; if
        there is none, a usable one of `tried`; `None` if none is usable. `hash_key`: that of the
        call, 64 bits. `now`: monotonic seconds.
        """

    def on_begin(self, server: ClusterServer, now: float) -> None:
        """An attempt begins; `server.in_flight` counts it already. Exactly one `on_end` follows,
        perhaps of a later Picker, perhaps when the server is no longer listed."""

    def on_end(
        self, server: ClusterServer, begun_at: float, now: float, outcome: Outcome, limit_s: float
    ) -> None:
        """The attempt that began at `begun_at` has ended; `server.in_flight` does not count it any
        more. `limit_s`: what the call had left when the attempt began, `inf` without a deadline."""


class LoadBalancer(Protocol):
    """Makes a Picker for each new list of servers. A channel has one for itself."""

    name: str
    """As the option `load_balancer` names it."""
    needs_hash_key: bool
    """Whether each call must have a `hash_key`."""

    def new_picker(self, servers: Sequence[ClusterServer]) -> Picker:
        """For a list that has changed. In the thread of the naming service: it may take long, and
        the Picker of the list before serves meanwhile. `server.load` may be set here."""
