"""CallTimes: counts the calls over the connections of one ConnectionSource, and their times."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import CLIENT
from pybrpc.base.renewed import renew_in_child
from pybrpc.client.calls.address_variables import ADDRESSES, AddressVariables
from pybrpc.errors import RpcError
from pybrpc.metrics.call_durations import CLIENT_DURATIONS, CodedFeeds
from pybrpc.metrics.latency_feed import LatencyFeed
from pybrpc.metrics.multi_dimension import OVERFLOW

if TYPE_CHECKING:
    from pybrpc.client.calls.call_options import CalledMethod

MAX_METHODS = 256
"""Methods of one source that have labels of their own: users may make up names for raw calls."""


class CallTimes:
    """Any thread. `note` costs an append: most calls succeed, with the method of the last one.

    A call counts once, however often it was retried, from its start to its end. Only calls that
    succeed are in the latency, count and qps of the address. The labelled durations have all.
    """

    __slots__ = (
        "__weakref__",
        "_endpoint",
        "_feeds",
        "_is_open",
        "_latest",
        "_lock",
        "_protocol",
        "_variables",
    )

    def __init__(self, endpoint: Endpoint | str, protocol: str) -> None:
        self._endpoint = endpoint
        self._protocol = protocol
        self._feeds: dict[str, CodedFeeds] = {}
        self._variables: AddressVariables | None = None
        self._latest: tuple[Any, LatencyFeed | None] = None, None
        """The method of the last call that has succeeded, and the feed of such calls."""
        self._is_open = False
        self.renew_locks()
        renew_in_child(self)

    def renew_locks(self) -> None:
        """See `renew_in_child`."""
        self._lock = threading.RLock()

    def note(self, method: CalledMethod, error: RpcError | None, seconds: float) -> None:
        """A call has ended, `seconds` after its start. Never raises."""
        try:
            last_method, feed = self._latest
            if error is not None or method is not last_method or feed is None:
                feed = self._feed_of(method, error)
            if feed is not None:
                feed.record_s(seconds)
        except BaseException as reason:
            CLIENT.caught("counting a call to %s raised", self._endpoint, error=reason)

    def _feed_of(self, method: CalledMethod, error: RpcError | None) -> LatencyFeed | None:
        """The feed of a call; `None` if the source has left."""
        with self._lock:
            variables = self._variables
            if variables is None:
                if not self._is_open:
                    return None
                variables = self._variables = ADDRESSES.acquire(self._endpoint)
                if not self._is_open:  # Store, then load: `close` may not have seen them.
                    ADDRESSES.note_closed(self)
            feeds = self._feeds_of(method.full_name)
            if error is not None:
                variables.errors.add()
                return feeds.feed_of(self._protocol, error.code)
            feed = feeds.feed_of(self._protocol, 0, variables.latency)
            self._latest = method, feed
            return feed

    def _feeds_of(self, full_name: str) -> CodedFeeds:
        feeds = self._feeds.get(full_name)
        if feeds is None:
            if len(self._feeds) >= MAX_METHODS:
                full_name = f"{OVERFLOW}.{OVERFLOW}"
            feeds = self._feeds.get(full_name)
            if feeds is None:
                feeds = self._feeds[full_name] = CodedFeeds(CLIENT_DURATIONS, full_name)
        return feeds

    def open(self) -> None:
        """A channel uses the source: its calls count. Variables are made with the first call."""
        self._is_open = True

    def close(self) -> None:
        """No channel uses the source any more: soon its calls don't count. Takes no lock."""
        self._is_open = False
        if self._variables is not None:
            ADDRESSES.note_closed(self)

    def leave_if_closed(self) -> None:
        """Leave the variables, unless a channel uses the source again."""
        with self._lock:
            if self._is_open:
                return
            self._latest = None, None
            feeds, self._feeds = self._feeds, {}
            variables, self._variables = self._variables, None
        for each in feeds.values():
            each.close()
        if variables is not None:
            ADDRESSES.release(variables)

    def __repr__(self) -> str:
        return f"<CallTimes of {self._endpoint}, {self._protocol}>"
