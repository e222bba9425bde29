"""Lane: one direction of one connection: reads from a source, passes on to a sink."""

from __future__ import annotations

import contextlib
import socket

from pybrpc.base.deadline import NEVER
from pybrpc.testing.faulty_proxy.delay_line import DelayLine
from pybrpc.testing.faulty_proxy.fault_script import FaultScript

BUFFER_BYTES = 256 * 1024
"""A lane that holds this many bytes stops reading: TCP then slows down its source."""

READ_BYTES = 64 * 1024


class Lane:
    """Bytes on their way from a source to a sink. Errors of its non-blocking sockets are raised.

    It is over when its source has ended and it has shut down its sink.
    """

    __slots__ = (
        "_ended_at",
        "_is_finished",
        "_line",
        "bytes_dropped",
        "drops",
        "is_blocked",
        "script",
        "sink",
        "source",
        "wake_at",
    )

    def __init__(self, source: socket.socket, sink: socket.socket, script: FaultScript) -> None:
        self.source = source
        self.sink = sink
        self.script = script
        self.drops = False
        """Whether it throws away what it reads."""
        self.is_blocked = False
        """Whether the sink took no more the last time."""
        self.wake_at = NEVER
        """The time at which bytes may pass again; NEVER if none wait."""
        self.bytes_dropped = 0
        self._line = DelayLine()
        self._ended_at = NEVER
        self._is_finished = False

    @property
    def is_over(self) -> bool:
        return self._is_finished and self._ended_at != NEVER

    @property
    def wants_to_read(self) -> bool:
        return self._ended_at == NEVER and self._line.size_bytes < BUFFER_BYTES

    def read(self, now: float) -> None:
        """One read of the source."""
        try:
            data = self.source.recv(min(READ_BYTES, BUFFER_BYTES - self._line.size_bytes))
        except BlockingIOError:
            return
        if not data:
            self._ended_at = now + self.script.latency_s
        elif self.drops:
            self.bytes_dropped += len(data)
        else:
            self._line.put(data, now + self.script.latency_s)

    def pass_on(self, now: float) -> None:
        """Write what may be written now, and then the end of the stream."""
        self.is_blocked = False
        self.wake_at = NEVER
        while not self._is_finished:
            allowed, self.wake_at = self.script.allowance(now)
            piece = self._line.front(now)
            if not allowed and not self.drops:
                return
            if not piece:
                self._pass_end(now)
                return
            try:
                sent = self.sink.send(piece[:allowed])
            except BlockingIOError:
                self.is_blocked = True
                return
            self._line.take(sent)
            self.script.note_passed(sent, now)

    def hold(self) -> None:
        """Pass nothing on, and ask for nothing."""
        self.is_blocked = False
        self.wake_at = NEVER

    def drop(self) -> None:
        """Throw away the bytes that are held, and all later ones."""
        self.drops = True
        self.bytes_dropped += self._line.clear()

    def finish(self) -> None:
        """Shut down the sink; throw away later bytes."""
        self.drop()
        if not self._is_finished:
            self._is_finished = True
            # Reading from the sink will find that its peer has gone.
            with contextlib.suppress(OSError):
                self.sink.shutdown(socket.SHUT_WR)

    def _pass_end(self, now: float) -> None:
        if self._line.size_bytes:
            self.wake_at = self._line.due_at
        elif self._ended_at <= now:
            self.finish()
        else:
            self.wake_at = self._ended_at
