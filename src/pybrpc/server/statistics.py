"""What a server has done so far, as a value that tests, metrics and pages read."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class ServerStatistics:
    """Counts since `start()`; the last three are of now."""

    accepted: int = 0
    """Connections."""
    requests: int = 0
    """Requests that were read, refused ones among them."""
    errors: int = 0
    """Requests that were answered with an error."""
    refused_connections: int = 0
    """Connections that were accepted over max_connections and closed at once."""
    connections: int = 0
    running: int = 0
    """Requests that were let in and have no answer yet."""
    workers: int = 0
    """Threads for plain handlers, idle ones among them; few fast requests need none."""
