"""WritableWait: how the holder of the write right waits for room, without a thread."""

from __future__ import annotations

import time

from pybrpc.metrics.reducers import Adder
from pybrpc.transport.dispatch.event_dispatcher import Continuation, TimerHandle
from pybrpc.transport.writing.slow_peers import lacks_credit, watch_slow_peer
from pybrpc.transport.writing.socket_core import SocketCore

LAYER_PAUSE_S = 0.01
"""Seconds until a layer that had no room is asked again."""

WAITS = Adder()
"""Waits for the kernel that have begun in this process."""


class WritableWait:
    """Waits until the descriptor is writable, or for a short time.

    Then the dispatcher calls the `resume` that it was given. The methods are called in turns, by
    the holder of the write right.
    """

    __slots__ = ("_pause", "is_waiting", "is_watched")

    def __init__(self) -> None:
        self.is_waiting = False
        self.is_watched = False
        """Whether the connection is watched for a peer that is too slow."""
        self._pause: TimerHandle | None = None

    @property
    def waits_for_kernel(self) -> bool:
        """Whether the peer has to take something first: not the layer, nor another thread."""
        return self.is_waiting and self._pause is None

    def wait_for_kernel(self, socket: SocketCore, resume: Continuation) -> None:
        WAITS.add()
        self.is_waiting = True
        if not self.is_watched:
            watch_slow_peer(self, socket)
        socket.dispatcher.add_writer(socket.fd, resume)

    def pause(self, socket: SocketCore, pause_s: float, resume: Continuation) -> None:
        """Wait `pause_s`: the layer has no room, or a producer has not linked its request yet."""
        self._pause = socket.dispatcher.call_at(time.monotonic() + pause_s, resume)
        self.is_waiting = True
        if not self.is_watched and lacks_credit(socket):
            watch_slow_peer(self, socket)

    def stop(self, socket: SocketCore) -> bool:
        """Stop waiting; False if there was no wait. After True the caller has the write right."""
        if not self.is_waiting:
            return False
        self.is_waiting = False
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.cancel()
        else:
            socket.dispatcher.remove_writer(socket.fd)
        return True
