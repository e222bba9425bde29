"""Listeners: the sockets on which workers listen. The supervisor keeps them.

On Linux each worker slot has a socket of its own, bound with SO_REUSEPORT: the kernel spreads
connections over the sockets that listen. The worker calls listen() when it can serve. Its successor
inherits the same socket, so the connections that wait in its queue are accepted by one or the
other. If each worker had a socket of its own, closing it would reset the connections in the queue,
and also those during their TCP handshake, even if all in the queue were accepted before.

When a worker dies, its socket still listens while a process has it: the supervisor, or one that the
worker has forked. `refuse` shuts it down in all of them, so that the connections in its queue are
reset and go elsewhere, and new ones are spread over the other sockets. The next worker of the slot
listens on it again.

For a Unix socket, and for TCP where SO_REUSEPORT doesn't spread, all workers share one socket with
one queue. It listens from the beginning, so `refuse` accepts its connections and closes them, as
long as all slots are refused.

Sockets that another program has passed, such as systemd, are shared by all workers too, but they
are not the supervisor's: nothing is refused, and connections wait in their queues until a worker
serves, be it one of the next supervisor.
"""

from __future__ import annotations

import contextlib
import socket as _socket
import sys
from collections.abc import Sequence
from typing import TypeAlias

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ListenError
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.dispatch.periodic import PeriodicTimer
from pybrpc.transport.listening.acceptors import Where
from pybrpc.transport.listening.listen import (
    BACKLOG,
    bind_shared,
    claim_port,
    listen,
    stop_listening,
    unclaim_port,
)
from pybrpc.transport.listening.passed_sockets import PassedSocket

_HAS_SPREADING = sys.platform == "linux"

TURN_AWAY_S = 0.05
"""Seconds between two looks at the queue of a shared socket whose workers are all down."""


class Listeners:
    """The sockets of one supervisor. Not thread-safe; all but the constructor is called in turns of
    the dispatcher."""

    def __init__(
        self,
        endpoint: Endpoint,
        slots: int,
        dispatcher: EventDispatcher,
        reuse_port: bool = False,
    ) -> None:
        """Bind. ListenError if that fails, or if another supervisor or server has the address, but
        with `reuse_port` only if that does not share it."""
        if endpoint.is_memory:
            raise ListenError(f"workers are processes of their own, and can't serve at {endpoint}")
        self.is_shared = endpoint.is_unix or not _HAS_SPREADING
        self._is_port_shared = reuse_port
        self._refused: set[int] = set()
        self._slots = slots
        self._turning_away = PeriodicTimer(dispatcher, self._turn_away)
        if self.is_shared:
            self._kept, self._file = listen(endpoint, reuse_port)
        elif reuse_port:
            self._kept, self._file = bind_shared(endpoint), None
        else:
            self._kept, self._file = claim_port(endpoint), None
        self.endpoint = Endpoint.from_sockaddr(self._kept.getsockname())
        """The address, with the port that was chosen."""
        self._sockets: list[_socket.socket] = []
        try:
            while not self.is_shared and len(self._sockets) < slots:
                self._sockets.append(bind_shared(self.endpoint))
        except BaseException:
            self.close()
            raise

    def sockets_of(self, slot: int) -> list[_socket.socket]:
        """Return the sockets on which the worker of that slot listens."""
        return [self._kept if self.is_shared else self._sockets[slot]]

    def own_sockets_of(self, slot: int) -> list[_socket.socket]:
        """Return those of them that may be shut down when this process is gone."""
        return self.sockets_of(slot)

    def refuse(self, slot: int) -> None:
        """No worker of that slot serves: reset the connections that wait for it, and refuse others,
        until `admit`. Not to be called while a worker of the slot starts, as that may listen."""
        if not self.is_shared:
            stop_listening(self._sockets[slot])
            return
        self._refused.add(slot)
        if len(self._refused) == self._slots and not self._turning_away.is_running:
            self._turning_away.start(0.0)

    def admit(self, slot: int) -> None:
        """A worker of that slot serves: connections may wait for it."""
        self._refused.discard(slot)
        self._turning_away.stop()

    def close(self) -> None:
        """Close all, so that connecting is refused, even if a process that a worker has forked has
        the sockets too."""
        self._turning_away.stop()
        if self._file is not None:
            self._file.remove()
        for sock in self._sockets:
            stop_listening(sock)
            sock.close()
        if self.is_shared:
            with contextlib.suppress(OSError):
                self._kept.shutdown(_socket.SHUT_RDWR)
            self._turn_away(0.0)
            self._kept.close()
        elif self._is_port_shared:
            self._kept.close()
        else:
            unclaim_port(self._kept)

    def _turn_away(self, now: float) -> float:
        """Accept the connections that wait, and close them."""
        with contextlib.suppress(OSError):
            for _ in range(BACKLOG):
                self._kept.accept()[0].close()
        return TURN_AWAY_S


class PassedListeners:
    """Sockets that another program has passed, used as Listeners are."""

    def __init__(self, passed: Sequence[PassedSocket]) -> None:
        """ListenError if one of them can't be used."""
        self._sockets: list[_socket.socket] = []
        try:
            for each in passed:
                self._sockets.append(listen(each)[0])
        except BaseException:
            self.close()
            raise
        self.endpoint = Endpoint.from_sockaddr(self._sockets[0].getsockname())
        """The address of the first one."""

    def sockets_of(self, slot: int) -> list[_socket.socket]:
        """Return all, which all workers share."""
        return self._sockets

    def own_sockets_of(self, slot: int) -> list[_socket.socket]:
        """None: to shut them down would end them for the other program too."""
        return []

    def refuse(self, slot: int) -> None:
        """Nothing happens: connections wait for the next worker."""

    def admit(self, slot: int) -> None:
        """Nothing happens."""

    def close(self) -> None:
        """Close the copies of this process."""
        for sock in self._sockets:
            sock.close()


AnyListeners: TypeAlias = Listeners | PassedListeners


def new_listeners(
    where: Where, slots: int, dispatcher: EventDispatcher, reuse_port: bool
) -> AnyListeners:
    """The sockets at an address. ListenError."""
    if isinstance(where, Endpoint):
        return Listeners(where, slots, dispatcher, reuse_port)
    if isinstance(where, tuple):
        return PassedListeners([each for each in where if isinstance(each, PassedSocket)])
    raise TypeError(f"workers serve at an address, not on {where!r}")
