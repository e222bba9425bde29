"""ServerStatus: what a channel knows of one server, for its users."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from pybrpc.base.endpoint import Endpoint

if TYPE_CHECKING:  # the only server of a channel has no need of a cluster
    from pybrpc.client.cluster.breaking.server_health import ServerHealth
    from pybrpc.client.cluster.cluster_server import ClusterServer
    from pybrpc.client.endpoints.settings import EndpointStatistics
    from pybrpc.errors import RpcError


@dataclasses.dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server of a cluster, as `Channel.servers()` gives it."""

    endpoint: Endpoint
    """The address."""
    tag: str
    """The text of the naming service behind the address."""
    state: str
    """ "up", "down" (it can't be reached), "logged off" (it stops), "ejected" (its calls fail) or
    "trial" (it was ejected, and gets one call at a time)."""
    why: str
    """Why it is not up; "" if it is."""
    is_usable: bool
    """Whether calls may be sent to it. Ejected ones are, if too few others are left."""
    in_flight: int
    """Calls of this channel that wait for its response; where the channel has one server, its
    connections that are in use."""
    latency_us: float
    """The average of the latest calls that succeeded, in microseconds; nan before the first, and
    where the channel has one server."""
    weight: float
    """Its share of the calls, relative to others."""
    since_s: float
    """Seconds in its state; nan where the channel has one server."""


def status_of(server: ClusterServer, now: float) -> ServerStatus:
    """`now`: monotonic seconds."""
    health: ServerHealth = server.health
    return ServerStatus(
        server.node.endpoint,
        server.node.tag,
        str(health.state),
        health.why,
        server.is_usable,
        server.in_flight,
        health.latency_s * 1e6 or math.nan,
        server.weight,
        now - health.since,
    )


def status_of_one(
    endpoint: Endpoint, statistics: EndpointStatistics, why_down: RpcError | None
) -> ServerStatus:
    """That of the only server of a channel."""
    state = "up" if why_down is None else "down"
    why = "" if why_down is None else why_down.text
    is_up = why_down is None
    calls = statistics.in_use
    return ServerStatus(endpoint, "", state, why, is_up, calls, math.nan, 1.0, math.nan)
