"""SlowPeers: closes connections whose peers take too little of what is queued for them.

A peer that reads nothing, or a byte now and then, makes this side keep what it does not read. That
is bounded, for each connection and for all together, but at the bound others are refused. So a peer
has to go on taking what is queued for it, once that is more than MIN_QUEUED_BYTES:

- something within `SocketOptions.write_stall_timeout_s`;
- `SocketOptions.min_write_bytes_per_s`, on average over RATE_WINDOW_S, while all connections
  together hold more than half of what they may (`ProcessBacklog`).

TCP itself fails a connection earlier, when the peer takes nothing for `tcp_user_timeout_ms` (30 s
unless it is changed): then `broken_error` gives that reason.

Only time counts in which the writer waits for the kernel, or in which a layer waits for credit of
the peer and says so (`lacks_credit`). Another layer that has no room, and a stream that waits for
credit, is no slow peer: nothing of it is in the kernel.

Progress is what the peer has acknowledged, as far as the kernel says, and not what the kernel has
taken: it takes the bytes for a slow line in large portions, with long pauses between them.

There is one timer for all connections of a dispatcher that wait for their peers, and none while
there are none. A connection joins when its writer begins to wait, and leaves at a check that finds
that it does not wait any more.
"""

from __future__ import annotations

import errno
import fcntl
import math
import struct
import termios
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Protocol

from pybrpc.base.guard import TRANSPORT, run_guarded
from pybrpc.base.limited_log import LimitedLog
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher

if TYPE_CHECKING:
    from pybrpc.transport.writing.process_backlog import ProcessBacklog
    from pybrpc.transport.writing.socket_core import SocketCore

MIN_QUEUED_BYTES = 64 * 1024
"""A peer for which less is queued may be as slow as it likes."""

CHECK_S = 1.0
"""Seconds between two checks."""

RATE_WINDOW_S = 4.0
"""Seconds over which the rate of a peer is measured."""


class KernelWait(Protocol):
    """How the writer of a connection waits, as far as it matters here."""

    is_watched: bool
    """Whether its connection is watched."""

    @property
    def waits_for_kernel(self) -> bool:
        """Whether the kernel has to take something before more is written."""


class Progress:
    """How one peer takes what is queued for it."""

    __slots__ = ("_samples", "_taken", "_taken_at")

    def __init__(self) -> None:
        self._taken = -1
        self._taken_at = 0.0
        # Times and totals of the checks in the last RATE_WINDOW_S, and of one check before.
        self._samples: deque[tuple[float, int]] = deque()

    def reset(self) -> None:
        """Little is queued: the time in which something must be taken has not begun."""
        self._taken = -1
        self._samples.clear()

    def note(self, taken: int, now: float) -> None:
        """The peer has taken `taken` bytes so far."""
        if taken != self._taken:
            self._taken, self._taken_at = taken, now
        samples = self._samples
        samples.append((now, taken))
        while len(samples) > 1 and samples[1][0] <= now - RATE_WINDOW_S:
            samples.popleft()

    def stalled_s(self, now: float) -> float:
        """Seconds for which nothing was taken."""
        return now - self._taken_at

    def bytes_per_s(self) -> float:
        """The rate over the last RATE_WINDOW_S; infinite if that is not known yet."""
        first_at, first = self._samples[0]
        last_at, last = self._samples[-1]
        passed_s = last_at - first_at
        return (last - first) / passed_s if passed_s >= RATE_WINDOW_S else math.inf


def is_half_full(process: ProcessBacklog | None) -> bool:
    """Whether all connections together hold more than half of what they may hold."""
    limit = None if process is None else process.limit_bytes
    return limit is not None and process is not None and 2 * process.size_bytes > limit


def why_too_slow(socket: SocketCore, progress: Progress, now: float) -> str | None:
    """The reason to close the connection of `socket`; `None` if there is none."""
    options, backlog = socket.options, socket.backlog
    queued = f"{backlog.size_bytes} bytes are queued for it"
    stalled_s = progress.stalled_s(now)
    if stalled_s >= options.write_stall_timeout:
        what = "given no credit" if lacks_credit(socket) else "taken nothing"
        return f"the peer has {what} for {stalled_s:.1f} s, while {queued}"
    rate, process = progress.bytes_per_s(), backlog.process
    if rate < options.min_write_rate and is_half_full(process):
        assert process is not None
        return (
            f"the peer takes {rate:.0f} bytes a second, while {queued} and "
            f"{process.size_bytes} of max_queued_bytes={process.limit_bytes} on all connections"
        )
    return None


class SlowPeers:
    """Watches the connections of one dispatcher that wait for their peers. All in its turns.

    It keeps neither a socket alive nor the dispatcher.
    """

    __slots__ = ("_has_timer", "_log", "_watched")

    def __init__(self) -> None:
        self._watched: dict[KernelWait, tuple[weakref.ref[SocketCore], Progress]] = {}
        self._has_timer = False
        self._log = LimitedLog(TRANSPORT)

    def add(self, wait: KernelWait, socket: SocketCore) -> None:
        """`socket` begins to wait for its peer, in `wait`."""
        wait.is_watched = True
        self._watched[wait] = (weakref.ref(socket), Progress())
        self._set_timer(socket.dispatcher)

    def _set_timer(self, dispatcher: EventDispatcher) -> None:
        if self._has_timer:
            return
        # The timer must know its dispatcher, which must not be kept by what it keeps.
        known = weakref.ref(dispatcher)
        try:
            dispatcher.call_at(time.monotonic() + CHECK_S, lambda: self._on_timer(known))
        except DispatcherClosedError:
            return
        self._has_timer = True

    def _on_timer(self, known: weakref.ref[EventDispatcher]) -> None:
        self._has_timer = False
        now = time.monotonic()
        try:
            for wait in list(self._watched):
                run_guarded(self._check, wait, now, what="the check of a slow peer", log=TRANSPORT)
        finally:
            dispatcher = known()
            if self._watched and dispatcher is not None:
                self._set_timer(dispatcher)

    def _check(self, wait: KernelWait, now: float) -> None:
        known, progress = self._watched[wait]
        socket = known()
        if (
            socket is None
            or socket.error is not None
            or not (wait.waits_for_kernel or lacks_credit(socket))
        ):
            wait.is_watched = False
            del self._watched[wait]
        elif socket.backlog.size_bytes <= MIN_QUEUED_BYTES:
            progress.reset()
        else:
            progress.note(bytes_taken(socket), now)
            reason = why_too_slow(socket, progress, now)
            if reason is not None:
                self._close(socket, reason)

    def _close(self, socket: SocketCore, reason: str) -> None:
        error = slow_peer_error(socket, reason)
        socket.fail(error)
        self._log.warn("%s", error.text)

    def __len__(self) -> int:
        return len(self._watched)

    def __repr__(self) -> str:
        return f"<SlowPeers {len(self)} connections wait for their peers>"


def slow_peer_error(socket: SocketCore, reason: str) -> RpcError:
    """The error of a connection that is closed because its peer is too slow."""
    text = f"Close {socket.description}: {reason}"
    peer = str(socket.remote_side or "")
    return make_rpc_error(ErrorCode.ETIMEDOUT, text, phase=Phase.SENT, peer=peer)


def kernel_timeout_reason(socket: SocketCore, error: OSError) -> str:
    """Why the kernel has given up a connection, logged and as the end of a text; "" if `error` is
    another one, or little was queued."""
    queued_bytes = socket.backlog.size_bytes
    if error.errno != errno.ETIMEDOUT or queued_bytes <= MIN_QUEUED_BYTES:
        return ""
    reason = f"the peer has taken nothing of {queued_bytes} queued bytes for TCP_USER_TIMEOUT"
    _kernel_timeout_log.warn("Close %s: %s", socket.description, reason)
    return f": {reason}"


_kernel_timeout_log = LimitedLog(TRANSPORT)


def lacks_credit(socket: SocketCore) -> bool:
    """Whether the layer of a socket sends nothing until the peer allows more. In a turn."""
    return bool(getattr(socket.layer, "lacks_credit", False))


def bytes_taken(socket: SocketCore) -> int:
    """Bytes that the peer has acknowledged so far, about: encrypted ones are a little longer. In a
    turn."""
    unsent = getattr(socket.layer, "unsent_bytes", 0)
    return socket.bytes_written - unsent - unacknowledged_bytes(socket.fd)


def unacknowledged_bytes(fd: int) -> int:
    """Bytes that the kernel holds for the peer of a socket; 0 if it doesn't say."""
    try:
        (size,) = struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0\0\0\0"))
    except (OSError, ValueError):
        return 0
    return int(size)


_slow_peers: weakref.WeakKeyDictionary[EventDispatcher, SlowPeers] = weakref.WeakKeyDictionary()


def watch_slow_peer(wait: KernelWait, socket: SocketCore) -> None:
    """Watch a connection that begins to wait for its peer. In a turn."""
    watched = _slow_peers.get(socket.dispatcher)
    if watched is None:
        watched = _slow_peers.setdefault(socket.dispatcher, SlowPeers())
    watched.add(wait, socket)
