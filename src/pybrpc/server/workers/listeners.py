"""Listeners: the sockets on which workers listen. The supervisor keeps them and never accepts.

On Linux each worker slot has a socket of its own, bound with SO_REUSEPORT: the kernel spreads
connections over the sockets that listen. The worker calls listen() when it can serve. Its successor
inherits the same socket, so the connections that wait in its queue are accepted by one or the
other. If each worker had a socket of its own, closing it would reset the connections in the queue,
and also those during their TCP handshake, even if all in the queue were accepted before.

When a worker dies, its socket still listens while the supervisor has it: `renew` closes it, so that
the connections in its queue are reset and go elsewhere, and new ones are spread over the other
sockets.

For a Unix socket, and for TCP where SO_REUSEPORT doesn't spread, all workers share one socket with
one queue. It listens from the beginning.
"""

from __future__ import annotations

import socket as _socket
import sys

from pybrpc.base.endpoint import Endpoint
from pybrpc.transport.listening.listen import bind_shared, listen

_HAS_SPREADING = sys.platform == "linux"


class Listeners:
    """The sockets of one supervisor. Not thread-safe."""

    def __init__(self, endpoint: Endpoint, slots: int) -> None:
        """Bind. ListenError if that fails, or if another socket already listens at the address."""
        self.is_shared = endpoint.is_unix or not _HAS_SPREADING
        if self.is_shared:
            self._kept, self._file = listen(endpoint)
        else:
            check_free(endpoint)
            self._kept, self._file = bind_shared(endpoint), None
        self.endpoint = Endpoint.from_sockaddr(self._kept.getsockname())
        """The address, with the port that was chosen."""
        self._sockets = [self._new_socket() for _ in range(slots)]

    def socket_of(self, slot: int) -> _socket.socket:
        """Return the socket on which the worker of that slot listens."""
        return self._sockets[slot]

    def renew(self, slot: int) -> None:
        """The worker of that slot is dead: reset the connections that wait for it."""
        if not self.is_shared:
            self._sockets[slot].close()
            self._sockets[slot] = self._new_socket()

    def close(self) -> None:
        """Close all. Once the workers have closed their copies too, connecting is refused."""
        if self._file is not None:
            self._file.remove()
        for sock in (self._kept, *self._sockets):
            sock.close()

    def _new_socket(self) -> _socket.socket:
        return self._kept if self.is_shared else bind_shared(self.endpoint)


def check_free(endpoint: Endpoint) -> None:
    """ListenError if a socket listens at the address, even one that shares the port.

    Two supervisors on one port are a mistake that is hard to find.
    """
    if endpoint.port:
        sock, _ = listen(endpoint)
        sock.close()
