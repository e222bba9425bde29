"""GracefulClose: ends a connection so that the peer gets all that was written to it.

A descriptor that is closed while unread bytes wait in it resets the connection, and a reset can
take away what the peer has not read yet (brpc#2006). So: write what is queued, then the last words,
shut writing down, and read on and throw away until the peer closes too.

Bounded: by STALL_S for a peer that takes nothing of what is queued, by the linger for one that has
got all and doesn't close, and by the reader for one that goes on sending.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from pybrpc.errors import RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.transport.dispatch.event_dispatcher import (
    Continuation,
    DispatcherClosedError,
    TimerHandle,
)

if TYPE_CHECKING:
    from pybrpc.transport.socket.socket import Socket

STALL_S = 10.0


class GracefulClose:
    """One connection on its way to its end. Its methods are called in turns, but `_on_written`."""

    __slots__ = (
        "_bytes_written",
        "_has_peer_ended",
        "_is_written",
        "_linger_s",
        "_lingers",
        "_looks",
        "_socket",
    )

    def __init__(self, socket: Socket, linger_s: float, has_peer_ended: bool) -> None:
        """`has_peer_ended`: the peer has shut its writing side, so it is not waited for."""
        self._socket = socket
        self._linger_s = linger_s
        self._has_peer_ended = has_peer_ended
        self._is_written = False
        self._bytes_written = socket.statistics().bytes_written
        self._looks: TimerHandle | None = None
        self._lingers: TimerHandle | None = None

    def start(self, final_data: IOBuf) -> None:
        self._looks = self._call_in(STALL_S, self._look)
        with contextlib.suppress(RpcError):
            self._socket.start_write(
                final_data,
                on_outcome=self._on_written,
                notify_on_success=True,
                shutdown_write=True,
                ignore_eovercrowded=True,
            )

    def hasten(self, linger_s: float) -> None:
        """Linger no longer than `linger_s` from now on."""
        self._linger_s = min(self._linger_s, linger_s)
        if self._is_written:
            self._linger()

    def end(self) -> None:
        """The socket has failed: its timers shall not keep it any longer."""
        for timer in (self._looks, self._lingers):
            if timer is not None:
                timer.cancel()

    def on_end(self) -> bool:
        """The peer has shut its writing side: True if there is still something to write to it."""
        self._has_peer_ended = True
        return not self._is_written

    def _on_written(self, error: RpcError | None) -> None:
        """All is out, or the socket has failed. Any thread."""
        if error is not None:
            return
        # `on_end` sets its flag and looks at this one, here it is the other way round.
        self._is_written = True
        if self._has_peer_ended:
            self._socket.close()
        else:
            self._linger()

    def _linger(self) -> None:
        # One that runs already isn't cancelled: it may be the shorter one.
        self._lingers = self._call_in(self._linger_s, self._socket.close)

    def _look(self) -> None:
        """Has the peer taken anything since the last look?"""
        socket = self._socket
        if self._is_written or socket.error is not None:
            return
        written = socket.statistics().bytes_written
        if written == self._bytes_written:
            socket.close()
            return
        self._bytes_written = written
        self._looks = self._call_in(STALL_S, self._look)

    def _call_in(self, seconds: float, function: Continuation) -> TimerHandle | None:
        with contextlib.suppress(DispatcherClosedError):
            return self._socket.dispatcher.call_at(time.monotonic() + seconds, function)
        return None
