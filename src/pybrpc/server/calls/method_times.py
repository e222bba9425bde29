"""MethodTimes: counts the calls of one method of a running server, and how long they take."""

from __future__ import annotations

from typing import Any

from pybrpc.metrics.call_durations import SERVER_DURATIONS, CodedFeeds
from pybrpc.metrics.call_variables import CallVariables
from pybrpc.metrics.latency_feed import LatencyFeed
from pybrpc.metrics.variable import Variable
from pybrpc.protocols.protocol import RpcProtocol


class MethodTimes:
    """Any thread. `note` costs an append: most calls succeed, in the protocol of the last one.

    Only calls that succeed are in its latency, count and qps, as in bRPC. The labelled durations
    have all of them, with their codes.
    """

    __slots__ = ("_feeds", "_latest", "variables")

    def __init__(self, full_name: str, more: dict[str, Variable]) -> None:
        """`more`: variables that are exposed with those of the calls."""
        self.variables = CallVariables(f"calls of {full_name}", more)
        self._feeds = CodedFeeds(SERVER_DURATIONS, full_name)
        self._latest: tuple[Any, LatencyFeed | None] = None, None
        """The protocol of the last call that has succeeded, and the feed of such calls."""

    def note(self, protocol: RpcProtocol, error_code: int, seconds: float) -> None:
        """A call has ended, `seconds` after its request was read."""
        protocol_of_last, feed = self._latest
        if error_code or protocol is not protocol_of_last or feed is None:
            feed = self._feed_of(protocol, error_code)
        feed.record_s(seconds)

    def _feed_of(self, protocol: RpcProtocol, error_code: int) -> LatencyFeed:
        if error_code:
            self.variables.errors.add()
            return self._feeds.feed_of(protocol.name, error_code)
        feed = self._feeds.feed_of(protocol.name, 0, self.variables.latency)
        self._latest = protocol, feed
        return feed

    def close(self) -> None:
        """The server has stopped: leave the variables that remain."""
        self.variables.hide()
        self._feeds.close()

    def __repr__(self) -> str:
        return f"<MethodTimes {self.variables.latency.describe()}>"
