"""EndpointStatistics: the connections to one endpoint, in numbers."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class EndpointStatistics:
    """The connections of a channel, and of all channels that share them with it."""

    created: int
    """Connections made so far, those of background dials among them."""
    closed: int
    """How many of them have failed or were closed."""
    in_use: int
    """Connections on which calls wait for answers now."""
    idle: int
    """Connections that are there and have nothing to do."""
    waiting: int
    """Calls that wait for a connection: the pool is used up, or the endpoint is down."""
    is_down: bool
    """Whether the endpoint could not be reached, and is dialled in the background."""
