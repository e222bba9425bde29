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
    """Connections that are open."""
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
    """Address of the client."""
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
    """Address of the client."""
    state: str
    """State of the connection, as in `UnfinishedCall.connection`."""
    running: int
    """Requests on it that have no response yet."""
    unwritten_bytes: int
    """Bytes of responses that the peer has not taken."""
    holds: int = 0
    """Its users beside the requests, such as streams."""
    streams: int = 0
    """Those of `holds` that are streams."""

    @property
    def is_busy(self) -> bool:
        """Whether something is lost if it is closed now."""
        has_work = self.running or self.unwritten_bytes or self.holds
        return self.state != "gone" and bool(has_work)

    def __str__(self) -> str:
        parts = [self.peer, self.state, f"{counted(self.running, 'request')} running"]
        if self.streams:
            parts.append(counted(self.streams, "stream"))
        if others := self.holds - self.streams:
            parts.append(counted(others, "other user"))
        parts.append(f"{counted(self.unwritten_bytes, 'byte')} unwritten")
        return ", ".join(parts)


def counted(number: int, noun: str) -> str:
    """ "1 request", "2 requests", for people."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def describe(calls: Sequence[UnfinishedCall], connections: Sequence[UnfinishedConnection]) -> str:
    """One text with their numbers, the oldest calls, and the connections with most to write."""
    oldest = sorted(calls, key=lambda call: -call.age_s)
    fullest = sorted(connections, key=lambda each: -each.unwritten_bytes)
    return f"{_listed('request', oldest)}; {_listed('connection', fullest)}"


def _listed(noun: str, things: Sequence[object]) -> str:
    if not things:
        return counted(0, noun)
    named = "; ".join(f"{thing}" for thing in things[:MAX_NAMED])
    more = f"; and {len(things) - MAX_NAMED} more" if len(things) > MAX_NAMED else ""
    return f"{counted(len(things), noun)} ({named}{more})"
