"""WritableWait: where the holder of the write right waits, without a thread, for room."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pybrpc.transport.dispatch.event_dispatcher import TimerHandle

if TYPE_CHECKING:
    from pybrpc.transport.socket.socket import Socket

LAYER_PAUSE_S = 0.01
"""How long a layer that has no room is left alone."""


class WritableWait:
    """For the kernel: until the descriptor is writable. For anything else: a short pause.

    `socket.on_writable` is called then. The methods are called in turns, by the holder.
    """

    __slots__ = ("_pause", "is_waiting")

    def __init__(self) -> None:
        self.is_waiting = False
        self._pause: TimerHandle | None = None

    def wait_for_kernel(self, socket: Socket) -> None:
        self.is_waiting = True
        socket.dispatcher.add_writer(socket.fd, socket.on_writable)

    def pause(self, socket: Socket, pause_s: float) -> None:
        """For a layer without room, or a producer that has not linked its request yet."""
        self._pause = socket.dispatcher.call_at(time.monotonic() + pause_s, socket.on_writable)
        self.is_waiting = True

    def leave(self, socket: Socket) -> bool:
        """Wait no longer; False if nobody was waiting."""
        if not self.is_waiting:
            return False
        self.is_waiting = False
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.cancel()
        else:
            socket.dispatcher.remove_writer(socket.fd)
        return True
