"""RelayLink: a stream that a relay gets from another server, or gives to one.

A timer looks after it, in turns: there is no thread for it. It connects again whenever the stream
or the connection has ended. A stream that is pulled has its name in the relay from its first frame
on: while nothing comes, others may publish that name.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from pybrpc.base.not_copied import NotCopied
from pybrpc.errors import AddressError, RpcError
from pybrpc.rtmp.client.client_base import play_request, publish_request
from pybrpc.rtmp.client.options import RtmpOptions
from pybrpc.rtmp.client.reconnecting import Reconnecting, ReconnectPolicy
from pybrpc.rtmp.client.rtmp_client import RtmpClient
from pybrpc.rtmp.client.url import parse_rtmp_url
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
from pybrpc.transport.dispatch.periodic import PeriodicTimer
from pybrpc.transport.runtime import default_runtime

CHECK_S = 0.1
"""Seconds between two looks at a link. Nothing that has come is lost meanwhile."""


class LinkedRelay(Protocol):
    """The relay, as its links know it."""

    lock: AbstractContextManager[object]

    def add_publisher(self, key: str, core: RtmpStreamCore) -> None: ...
    def add_player(self, key: str, core: RtmpStreamCore) -> None: ...
    def has_publisher(self, key: str) -> bool: ...
    def report(self, kind: str, stream: str, peer: str = "", text: str = "") -> None: ...


class RelayLink(NotCopied):
    """One stream between a relay and another server; `RtmpRelay.pull` and `push` make it. Any
    thread may use it."""

    def __init__(
        self,
        relay: LinkedRelay,
        url: str,
        key: str | None,
        is_pull: bool,
        options: RtmpOptions | None,
        policy: ReconnectPolicy | None,
    ) -> None:
        """AddressError for a URL that can't be, or has no name of a stream."""
        parsed = parse_rtmp_url(url)
        name = parsed.stream_name
        if not name:
            raise AddressError('a link has a URL with a stream: "rtmp://host/app/stream"')
        self.key = key or f"{parsed.app}/{name.partition('?')[0]}"
        self.is_pull = is_pull
        self._relay = relay
        self._client = RtmpClient(dataclasses.replace(parsed, stream_name=""), options)
        request = play_request(name) if is_pull else publish_request(name)
        self._stream = Reconnecting(self._client, request, policy)
        self._core: RtmpStreamCore | None = None
        """The stream that the relay has."""
        self._silent: RtmpStreamCore | None = None
        """The stream to pull of which nothing has come yet."""
        self._reported: RpcError | None = None
        self._is_closed = False
        self.on_closed: Callable[[RelayLink], object] | None = None
        """Called when it was closed. The relay, which lives while it has links, forgets it then."""
        self._dispatcher = default_runtime().dispatcher
        self._timer = PeriodicTimer(self._dispatcher, self._check)
        self._dispatcher.require_polling()
        self._timer.start(0.0)

    @property
    def is_connected(self) -> bool:
        """Whether frames can flow now."""
        return self._stream.is_connected

    @property
    def last_error(self) -> RpcError | None:
        """Why the last attempt, or the last stream, has failed."""
        return self._stream.last_error

    def close(self) -> None:
        """End the stream, and connect no more. Blocks until what was sent is written, at most 10 s;
        in a callback of this library it does not. In an asyncio loop, use `aclose`."""
        if self._is_closed:
            return
        self._is_closed = True
        self._timer.stop()
        self._stream.close()
        self._dispatcher.release_polling()
        try:
            self._client.close()
        finally:
            if self.on_closed is not None:
                self.on_closed(self)

    async def aclose(self) -> None:
        """`close` in a thread, for a task of any loop, which goes on meanwhile."""
        await asyncio.to_thread(self.close)

    def _check(self, now: float) -> float | None:
        """Connect if it is time for that, and give a new stream to the relay. In a turn."""
        if self._is_closed:
            return None
        core = self._core
        if core is None and self._relay.has_publisher(self.key) == self.is_pull:
            # Somebody else publishes what would be pulled, or there is nothing to push.
            self._end_silent()
            if not self._stream.is_opening:
                return CHECK_S
        try:
            polled = self._stream.poll(None)
        except RpcError as error:
            self._report(error)
            return None
        if core is not None and core.has_ended:
            self._core = None
        if polled is not None and polled is not core and not self._is_closed:
            with self._relay.lock:
                self._begin(polled)
        last = self._stream.last_error
        if polled is None and last is not None and last is not self._reported:
            self._report(last)
        return CHECK_S

    def _begin(self, core: RtmpStreamCore) -> None:
        """Give a new stream to the relay; one that is pulled once something has come. In the lock
        of the relay, so that nobody publishes the name meanwhile."""
        self._silent = None
        if core.has_ended:
            core.drop_unread()
        elif not self.is_pull and not self._relay.has_publisher(self.key):
            core.connection.end_stream(core, None)  # it has gone while this was asked for
        elif not self.is_pull:
            self._core = core
            self._relay.add_player(self.key, core)
        elif not core.unread or self._relay.has_publisher(self.key):
            self._silent = core
        else:
            self._core = core
            self._relay.add_publisher(self.key, core)

    def _end_silent(self) -> None:
        """Another publisher was faster than the first frame of the stream."""
        core, self._silent = self._silent, None
        if core is not None:
            core.connection.end_stream(core, None)
            core.drop_unread()

    def _report(self, error: RpcError) -> None:
        self._reported = error
        what = "pull" if self.is_pull else "push"
        self._relay.report(f"{what}_failed", self.key, text=str(error))

    def __repr__(self) -> str:
        what = "pull of" if self.is_pull else "push of"
        state = "closed" if self._is_closed else "open" if self.is_connected else "not connected"
        return f"<RelayLink {what} {self.key!r}, {state}>"
