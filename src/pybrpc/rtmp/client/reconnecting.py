"""Reconnecting: a stream of a client that is opened again when it has ended, without any form of
waiting.

A caller that sends, or waits for a frame, calls `poll`, which begins the next attempt when its time
has come: there is no thread and no timer. After bRPC's RtmpRetryingClientStream.
"""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import ClassVar

from pybrpc.base.checked_options import checked_count, checked_instance_or_none
from pybrpc.base.deadline import NEVER, checked_timeout_s, deadline_after
from pybrpc.base.not_copied import NotCopied
from pybrpc.base.renewed import renew_in_child
from pybrpc.errors import RpcError, StreamClosedError, StreamTimeoutError
from pybrpc.rtmp.client.client_base import RtmpClientBase
from pybrpc.rtmp.client.opening import StreamOpening, StreamRequest
from pybrpc.rtmp.lost_sockets import loop_of
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
from pybrpc.streams.outgoing import Wait


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectPolicy:
    """When a stream is opened again.

    interval      seconds between an end, or a failed attempt, and the next attempt; 1
    fast_retries  attempts that don't wait for `interval`; 2. There are as many again once a stream
                  was open for `interval` seconds
    max_duration  seconds of failure after which no attempt is begun; `None`, the default: it never
                  gives up, whatever the error, refusals too
    """

    _public_name: ClassVar[str] = "pybrpc.rtmp.ReconnectPolicy"

    interval: float = 1.0
    fast_retries: int = 2
    max_duration: float | None = None

    def __post_init__(self) -> None:
        interval_s = checked_timeout_s(self.interval, "interval")
        if interval_s is None:
            raise ValueError(f"interval must be a number of seconds, not {self.interval}")
        object.__setattr__(self, "interval", interval_s)
        checked_count("fast_retries", self.fast_retries)
        limit_s = checked_timeout_s(self.max_duration, "max_duration")
        object.__setattr__(self, "max_duration", limit_s)


class RetryPlan:
    """When the next attempt begins. Its times are those of the caller's clock, in seconds."""

    __slots__ = ("_failing_since", "_fast_left", "_open_since", "_policy")

    def __init__(self, policy: ReconnectPolicy) -> None:
        self._policy = policy
        self._fast_left = policy.fast_retries
        self._open_since: float | None = None
        self._failing_since: float | None = None

    def on_open(self, now: float) -> None:
        self._open_since = now

    def on_end(self, now: float) -> float | None:
        """The stream has ended, or an attempt has failed. The time of the next attempt; `None` if
        there is none."""
        policy = self._policy
        opened, self._open_since = self._open_since, None
        if opened is not None:
            self._failing_since = None
            if now - opened >= policy.interval:
                self._fast_left = policy.fast_retries
        if self._failing_since is None:
            self._failing_since = now
        limit_s = policy.max_duration
        if limit_s is not None and now - self._failing_since >= limit_s:
            return None
        if self._fast_left:
            self._fast_left -= 1
            return now
        return now + policy.interval


class Reconnecting:
    """One stream, opened again and again. Any thread."""

    def __init__(
        self,
        client: RtmpClientBase,
        request: StreamRequest,
        policy: ReconnectPolicy | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        checked = checked_instance_or_none("policy", policy, ReconnectPolicy)
        self.client = client
        self.connects = 0
        """How often the stream was opened."""
        self.last_error: RpcError | None = None
        """Why the last attempt, or the last stream, has failed."""
        self.is_closed = False
        self._request = request
        self._plan = RetryPlan(checked or ReconnectPolicy())
        self._clock = clock
        self._lock = threading.Lock()
        self._opening: StreamOpening | None = None
        self._core: RtmpStreamCore | None = None
        self._next_at = clock()
        """When the next attempt begins, or the present one takes too long."""
        self._given_up: RpcError | None = None
        self._pauses: list[Wait] = []
        renew_in_child(self)

    def renew_locks(self) -> None:
        """In a forked child."""
        self._lock = threading.Lock()

    @property
    def is_connected(self) -> bool:
        """Whether the stream is open now."""
        core = self._core
        if core is None:
            return False
        core.connection.check_alive(core)
        return not core.has_ended

    @property
    def is_opening(self) -> bool:
        """Whether an attempt goes on, or its result was not taken by `poll`."""
        return self._opening is not None

    def poll(self, loop: asyncio.AbstractEventLoop | None) -> RtmpStreamCore | None:
        """The stream, if it is open or has frames; `None` if an attempt, or a pause, goes on.

        StreamClosedError once it was closed; the last error once the policy allows no attempt;
        ChannelClosedError of the client. Never blocks.
        """
        with self._lock:
            if self.is_closed:
                raise StreamClosedError(f"the stream {self._request.bare_name!r} was closed")
            if self._given_up is not None:
                raise self._given_up.copy()
            if self._core is not None:
                self._check_open(self._core)
            if self._core is None and self._opening is not None:
                self._check_opening(self._opening, loop)
            if self._core is None and self._opening is None and self._clock() >= self._next_at:
                self._begin(loop)
            return self._core

    def begin_wait(self, wait: Wait) -> bool:
        """After `poll` has returned `None`: end `wait` when the attempt ends, or `close` is called;
        the caller polls again at `next_at` too. False if it is to poll at once."""
        opening = self._opening
        if opening is not None:
            was_sent = self._next_at < NEVER
            # Store, then load: it may have been sent before the wait began.
            return opening.begin_wait(wait) and opening.is_sent <= was_sent
        with self._lock:
            if self.is_closed or self._core is not None or self._opening is not None:
                return False  # another thread was faster
            self._pauses.append(wait)
            return True

    def forget_wait(self, wait: Wait) -> None:
        """Don't end `wait` any more."""
        with self._lock:
            if wait in self._pauses:
                self._pauses.remove(wait)
            opening = self._opening
        if opening is not None:
            opening.forget_wait(wait)

    @property
    def next_at(self) -> float:
        return self._next_at

    def close(self) -> None:
        """End the stream, and open it no more. Never blocks."""
        with self._lock:
            self.is_closed = True
            core, opening, waits = self._core, self._opening, self._pauses
            self._pauses = []
        if opening is not None:
            opening.abandon()
        if core is not None:
            core.connection.end_stream(core, None)
            core.drop_unread()
        for wait in waits:
            wait.end()

    # --- with the lock ---

    def _check_open(self, core: RtmpStreamCore) -> None:
        core.connection.check_alive(core)
        if core.has_ended and not core.unread:
            self._core = None
            self._on_end(core.failure)

    def _check_opening(
        self, opening: StreamOpening, loop: asyncio.AbstractEventLoop | None
    ) -> None:
        opening.check_alive()
        if not opening.is_over and _has_stopped(opening, loop):
            opening.abandon()
            self._opening = None
            self._next_at = self._clock()
            return
        limit_s = self.client.options.timeout
        if self._next_at == NEVER and opening.is_sent and limit_s is not None:
            self._next_at = self._clock() + limit_s
        if not opening.is_over and self._clock() >= self._next_at:
            opening.time_out(limit_s)
        if not opening.is_over:
            return
        self._opening = None
        if self.client.must_open_again(opening):
            self._next_at = self._clock()
        elif opening.error is not None:
            self._on_end(opening.error)
        else:
            self._core = opening.result()
            self._plan.on_open(self._clock())
            self.connects += 1

    def _begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        try:
            self._opening = self.client.open_nowait(self._request, loop)
        except RpcError as error:
            self._on_end(error)
        else:
            self._next_at = NEVER

    def _on_end(self, error: RpcError | None) -> None:
        self.last_error = error
        next_at = self._plan.on_end(self._clock())
        if next_at is None:
            text = f"the stream {self._request.bare_name!r} has ended"
            self._given_up = error or StreamClosedError(text)
            raise self._given_up.copy()
        self._next_at = next_at

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.described}>"

    @property
    def described(self) -> str:
        """The stream, its server, and its state."""
        state = "open" if self.is_connected else "not connected"
        if self.is_closed or self._given_up is not None:
            state = "closed" if self.is_closed else "given up"
        where = self.client.url.endpoint
        return f"{self._request.bare_name!r} with {where}, {state}, {self.connects} connects"


class ReconnectingForm(NotCopied):
    """The part that publishers and players share, in threads and in asyncio. Any thread."""

    def __init__(
        self, client: RtmpClientBase, request: StreamRequest, policy: ReconnectPolicy | None
    ) -> None:
        self._reconnecting = Reconnecting(client, request, policy)

    @property
    def is_connected(self) -> bool:
        """Whether the stream is open now."""
        return self._reconnecting.is_connected

    @property
    def connects(self) -> int:
        """How often the server has agreed so far. The frames that a player gets behind a change are
        of another connection: they begin with the headers, and their times may begin anew."""
        return self._reconnecting.connects

    @property
    def last_error(self) -> RpcError | None:
        """Why the last connection, or attempt, has ended; `None` if none has failed, or the server
        has ended the stream."""
        return self._reconnecting.last_error

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._reconnecting.described}>"

    def _timed_out(self, text: str) -> StreamTimeoutError:
        """`text`, with what the last attempt has ended with, and where."""
        last = self.last_error
        if last is not None and not self.is_connected:
            text = f"{text}; the last attempt: {last}"
        return StreamTimeoutError(text, peer=str(self._reconnecting.client.url.endpoint))


def _has_stopped(opening: StreamOpening, loop: asyncio.AbstractEventLoop | None) -> bool:
    """Whether it was begun in another loop than `loop`, which does not run: it may never end."""
    begun_in = loop_of(opening.connection.socket)
    return begun_in is not None and begun_in is not loop and not begun_in.is_running()


def deadline_of(timeout: float | None) -> float:
    """The deadline for a timeout that a user has given."""
    return deadline_after(checked_timeout_s(timeout))
