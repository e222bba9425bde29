"""GracefulClose: ends a connection so that the peer gets all bytes that were written to it.

A descriptor that is closed while unread bytes wait in it resets the connection, and a reset can
take away what the peer has not read yet (brpc#2006). So the socket writes what is queued, then the
final data, shuts its writing side down, and reads and discards until the peer closes too.

Three limits bound this: STALL_S for a peer that takes nothing of what is queued, the linger for one
that has received all and doesn't close, and the reader's limit for one that goes on sending.
"""

from __future__ import annotations

import contextlib
import time

from pybrpc.errors import RpcError
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, TimerHandle
from pybrpc.transport.dispatch.periodic import PeriodicTimer
from pybrpc.transport.writing.slow_peers import bytes_taken
from pybrpc.transport.writing.socket_core import SocketCore

STALL_S = 10.0


class GracefulClose:
    """One connection that is closing. Its methods are called in turns."""

    __slots__ = (
        "_bytes_taken",
        "_has_peer_ended",
        "_is_written",
        "_linger_s",
        "_linger_timer",
        "_socket",
        "_stall_timer",
    )

    def __init__(self, socket: SocketCore, linger_s: float, has_peer_ended: bool) -> None:
        """`has_peer_ended`: the peer has shut its writing side, so its close is not awaited."""
        self._socket = socket
        self._linger_s = linger_s
        self._has_peer_ended = has_peer_ended
        self._is_written = False
        self._bytes_taken = bytes_taken(socket)
        self._stall_timer = PeriodicTimer(socket.dispatcher, self._check_progress)
        self._linger_timer: TimerHandle | None = None

    def start(self) -> None:
        """Watch whether the peer takes what is queued. The final data is written next."""
        self._stall_timer.start(STALL_S)

    def shorten_linger(self, linger_s: float) -> None:
        """Linger no longer than `linger_s` from now on."""
        self._linger_s = min(self._linger_s, linger_s)
        if self._is_written:
            self._linger()

    def cancel_timers(self) -> None:
        """The socket has failed: its timers must not keep it any longer."""
        self._stall_timer.stop()
        if self._linger_timer is not None:
            self._linger_timer.cancel()

    def on_peer_end(self) -> bool:
        """The peer has shut its writing side: True if there is still something to write to it."""
        self._has_peer_ended = True
        return not self._is_written

    def on_written(self, error: RpcError | None) -> None:
        """The final data is written, or the socket has failed."""
        if error is not None:
            return
        self._is_written = True
        if self._has_peer_ended:
            self._socket.close()
        else:
            self._linger()

    def _linger(self) -> None:
        # A timer that runs already isn't cancelled: it may be the shorter one.
        deadline = time.monotonic() + self._linger_s
        with contextlib.suppress(DispatcherClosedError):
            self._linger_timer = self._socket.dispatcher.call_at(deadline, self._socket.close)

    def _check_progress(self, now: float) -> float | None:
        """Close if the peer has taken nothing since the last check."""
        socket = self._socket
        if self._is_written or socket.error is not None:
            return None
        taken = bytes_taken(socket)
        if taken == self._bytes_taken:
            socket.close()
            return None
        self._bytes_taken = taken
        return STALL_S
