"""Values that a server gives to tests, metrics and pages: counters, and unfinished work."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class ServerStatistics:
    """Counters since `start()`; the last four are gauges."""

    accepted: int = 0
    """Connections."""
    requests: int = 0
    """Requests that were read, refused ones among them."""
    errors: int = 0
    """Requests that were answered with an error, refused and expired ones among them."""
    expired: int = 0
    """Requests that were answered without running: their deadline had passed before their turn."""
    refused_connections: int = 0
    """Connections that were accepted over max_connections and closed at once."""
    connections: int = 0
    running: int = 0
    """Requests that were admitted and have no response yet."""
    workers: int = 0
    """Threads for plain handlers, idle ones among them; few fast requests need none."""
    streams: int = 0
    """Streams that are not over yet."""


MAX_NAMED = 5


@dataclasses.dataclass(frozen=True, slots=True)
class UnfinishedCall:
    """A request that was admitted and has no response yet."""

    method: str
    """Full name."""
    peer: str
    age_s: float
    """Seconds since it was read."""
    connection: str
    """State of its connection: "open", "half-closed", "closing" or "gone"."""

    def __str__(self) -> str:
        where = "" if self.connection == "open" else f", connection {self.connection}"
        return f"{self.method} of {self.peer} for {self.age_s:.1f} s{where}"


@dataclasses.dataclass(frozen=True, slots=True)
class UnfinishedConnection:
    """A connection that is not closed yet."""

    peer: str
    state: str
    """State of the connection, as in `UnfinishedCall.connection`."""
    running: int
    """Requests on it that have no response yet."""
    unwritten_bytes: int
    """Bytes of responses that the peer has not taken."""
    holds: int = 0
    """Its users beside the requests, such as streams."""

    @property
    def is_busy(self) -> bool:
        """Whether something is lost if it is closed now."""
        has_work = self.running or self.unwritten_bytes or self.holds
        return self.state != "gone" and bool(has_work)

    def __str__(self) -> str:
        held = f"{self.holds} streams or other users, " if self.holds else ""
        return (
            f"{self.peer}, {self.state}, {self.running} requests running, {held}"
            f"{self.unwritten_bytes} bytes unwritten"
        )


def describe(calls: Sequence[UnfinishedCall], connections: Sequence[UnfinishedConnection]) -> str:
    """One text with their numbers, the oldest calls, and the connections with most to write."""
    oldest = sorted(calls, key=lambda call: -call.age_s)
    fullest = sorted(connections, key=lambda each: -each.unwritten_bytes)
    return f"{_listed('requests', oldest)}; {_listed('connections', fullest)}"


def _listed(what: str, things: Sequence[object]) -> str:
    if not things:
        return f"0 {what}"
    named = "; ".join(f"{thing}" for thing in things[:MAX_NAMED])
    more = f"; and {len(things) - MAX_NAMED} more" if len(things) > MAX_NAMED else ""
    return f"{len(things)} {what} ({named}{more})"
