"""ProxiedConnection: a client's connection, the one to the server, and a lane each way."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Callable
from typing import Protocol

from pybrpc.base.deadline import NEVER
from pybrpc.testing.faulty_proxy.fault_script import FaultScript
from pybrpc.testing.faulty_proxy.faults import (
    CutAt,
    DropFrom,
    End,
    Fault,
    Faults,
    HalfCloseAt,
)
from pybrpc.testing.faulty_proxy.lane import Lane
from pybrpc.testing.faulty_proxy.proxy_loop import READ, WRITE, ProxyLoop

LINGER_S = 1.0
"""Longest time for the sides of a cut connection to close, and for a reset to wait for the bytes
before it."""

LOOK_S = 0.001


class ConnectionOwner(Protocol):
    """A FaultyProxy, as its connections see it."""

    holds: tuple[bool, bool]
    """Whether nothing may pass now, to the server and to the client."""

    def note_connect_failure(self) -> None:
        """The server can't be reached."""

    def forget(self, connection: ProxiedConnection) -> None:
        """A connection is closed."""


class ProxiedConnection:
    """Two sockets and two lanes in a ProxyLoop. All methods run in the thread of the loop."""

    __slots__ = (
        "_ends_at",
        "_is_connected",
        "_loop",
        "_owner",
        "_resets",
        "client",
        "is_closed",
        "server",
        "to_client",
        "to_server",
    )

    def __init__(
        self,
        owner: ConnectionOwner,
        loop: ProxyLoop,
        client: socket.socket,
        server: socket.socket,
        faults: Faults,
        on_strike: Callable[[Fault], None],
    ) -> None:
        """Takes both sockets over; that to the server is still connecting."""
        self.client = client
        self.server = server
        self.to_server = Lane(client, server, FaultScript(faults.to_server, on_strike))
        self.to_client = Lane(server, client, FaultScript(faults.to_client, on_strike))
        self.is_closed = False
        self._owner = owner
        self._loop = loop
        self._is_connected = False
        self._ends_at = NEVER
        self._resets: Lane | None = None
        loop.watch(server, WRITE, self)

    @property
    def lanes(self) -> tuple[Lane, Lane]:
        return self.to_server, self.to_client

    def on_ready(self, sock: socket.socket, mask: int, now: float) -> None:
        """One of the sockets is readable or writable."""
        if not self._is_connected:
            self._on_connected(now)
            return
        try:
            for lane in self.lanes:
                if lane.source is sock and mask & READ and lane.wants_to_read:
                    lane.read(now)
        except OSError:
            self.reset()
            return
        self.advance(now)

    def advance(self, now: float) -> None:
        """Do all that can be done now, and arrange for the rest."""
        if self.is_closed or not self._is_connected:
            return
        try:
            if self._resets is None:
                self._pass_on(now)
        except OSError:
            # One side has broken: so does the other.
            self.reset()
            return
        if self._resets is not None:
            self._reset_when_sent(self._resets, now)
        elif now >= self._ends_at or all(lane.is_over for lane in self.lanes):
            self.close()
        else:
            self._arrange()

    def end_stalls(self) -> None:
        for lane in self.lanes:
            lane.script.end_stalls()

    def cut(self, now: float) -> None:
        """End both directions cleanly; close when both sides have, or after `LINGER_S`."""
        for lane in self.lanes:
            lane.finish()
        self._ends_at = min(self._ends_at, now + LINGER_S)

    def reset(self) -> None:
        """Close both sockets with RST."""
        for sock in (self.client, self.server):
            with contextlib.suppress(OSError):
                set_resets_on_close(sock)
        self.close()

    def close(self) -> None:
        """Close both sockets. Does nothing the second time."""
        if self.is_closed:
            return
        self.is_closed = True
        for sock in (self.client, self.server):
            self._loop.watch(sock, 0, self)
            sock.close()
        self._loop.wake_at(self, NEVER)
        self._owner.forget(self)

    def _on_connected(self, now: float) -> None:
        if self.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or is_self_connected(
            self.server
        ):
            self._owner.note_connect_failure()
            self.reset()
            return
        self._is_connected = True
        self.advance(now)

    def _pass_on(self, now: float) -> None:
        for lane, is_held in zip(self.lanes, self._owner.holds, strict=True):
            if is_held:
                lane.hold()
                continue
            lane.pass_on(now)
            end = lane.script.take_end(now)
            if end is not None:
                self._strike(lane, end, now)

    def _strike(self, lane: Lane, end: End, now: float) -> None:
        if isinstance(end, DropFrom):
            lane.drop()
            lane.pass_on(now)
        elif isinstance(end, HalfCloseAt):
            lane.finish()
        elif isinstance(end, CutAt):
            self.cut(now)
        else:
            self._resets = lane
            self._ends_at = now + LINGER_S

    def _reset_when_sent(self, lane: Lane, now: float) -> None:
        """A reset would overtake bytes that the peer's kernel has no room for yet, so it waits for
        them."""
        if now >= self._ends_at or not unsent_bytes(lane.sink):
            self.reset()
            return
        for sock in (self.client, self.server):
            self._loop.watch(sock, 0, self)
        self._loop.wake_at(self, now + LOOK_S)

    def _arrange(self) -> None:
        for sock, reads, writes in (
            (self.client, self.to_server, self.to_client),
            (self.server, self.to_client, self.to_server),
        ):
            mask = READ if reads.wants_to_read else 0
            self._loop.watch(sock, mask | (WRITE if writes.is_blocked else 0), self)
        wake_at = min(self.to_server.wake_at, self.to_client.wake_at, self._ends_at)
        self._loop.wake_at(self, wake_at)

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open" if self._is_connected else "connecting"
        sent, got = self.to_server.script.position, self.to_client.script.position
        return f"<ProxiedConnection {state}, {sent} bytes to the server, {got} to the client>"


def is_self_connected(sock: socket.socket) -> bool:
    """Whether the socket is connected to itself: nobody listens on the port, and the system gave
    the same port to this socket."""
    if sock.family == socket.AF_UNIX:
        return False
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:
        return False  # It is broken already; the next read will report it.


def set_resets_on_close(sock: socket.socket) -> None:
    """SO_LINGER with 0 seconds: `close` sends RST and drops what is unsent."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def unsent_bytes(sock: socket.socket) -> int:
    """Bytes that the peer's kernel has not acknowledged; 0 where the system can't report them."""
    if sys.platform != "linux" or sock.family == socket.AF_UNIX:
        return 0
    size = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(size, sys.byteorder)
