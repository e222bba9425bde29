"""Listeners: the sockets that workers listen on, which the supervisor keeps and never accepts from.

On Linux each place has a socket of its own, bound with SO_REUSEPORT: the kernel spreads connections
over those that listen. The worker calls listen() when it can serve. Its successor inherits the same
socket, so the connections that wait in its queue are accepted by one or the other; had each worker
a socket of its own, those in the queue would be reset when it is closed, and those whose handshake
is under way too, which accepting all that wait doesn't help.

When a worker dies, its socket still listens while the supervisor has it: `renew` closes it, so that
the connections in its queue are reset and go elsewhere, and new ones are spread over the others.

A Unix socket, and TCP where SO_REUSEPORT doesn't spread, is one socket for all, with one queue. It
listens from the beginning.
"""

from __future__ import annotations

import socket as _socket
import sys

from pybrpc.base.endpoint import Endpoint
from pybrpc.transport.listening.listen import bind_shared, listen

_HAS_SPREADING = sys.platform == "linux"


class Listeners:
    """Of one supervisor. Not thread-safe."""

    def __init__(self, endpoint: Endpoint, places: int) -> None:
        """Bind. ListenError if it can't be, or if somebody listens there already."""
        self.is_shared = endpoint.is_unix or not _HAS_SPREADING
        if self.is_shared:
            self._kept, self._file = listen(endpoint)
        else:
            check_free(endpoint)
            self._kept, self._file = bind_shared(endpoint), None
        self.endpoint = Endpoint.from_sockaddr(self._kept.getsockname())
        """Where, with the port that was chosen."""
        self._sockets = [self._made() for _ in range(places)]

    def socket_of(self, place: int) -> _socket.socket:
        """What the worker of that place shall listen on."""
        return self._sockets[place]

    def renew(self, place: int) -> None:
        """The worker of that place is dead: let nobody wait for it."""
        if not self.is_shared:
            self._sockets[place].close()
            self._sockets[place] = self._made()

    def close(self) -> None:
        """Once workers that listen have closed theirs too, connecting is refused."""
        if self._file is not None:
            self._file.remove()
        for sock in (self._kept, *self._sockets):
            sock.close()

    def _made(self) -> _socket.socket:
        return self._kept if self.is_shared else bind_shared(self.endpoint)


def check_free(endpoint: Endpoint) -> None:
    """ListenError if a socket listens there, though it would share the port with us.

    Two supervisors on one port are a mistake that is hard to find.
    """
    if endpoint.port:
        sock, _ = listen(endpoint)
        sock.close()
