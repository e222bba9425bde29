"""SocketTable: the names of sockets, and who still has one."""

from __future__ import annotations

import itertools
import os
import weakref
from typing import TYPE_CHECKING, NewType

from pybrpc.base.atomic import atomic_counter

if TYPE_CHECKING:
    from pybrpc.transport.socket.socket import Socket

SocketId = NewType("SocketId", int)
"""A name of a socket that can be kept anywhere; never given to another one in this process."""


class SocketTable:
    """Sockets that have not failed, by id. It keeps none alive. Thread-safe, without a lock."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._hooks = atomic_counter()
        self._sockets: weakref.WeakValueDictionary[SocketId, Socket] = weakref.WeakValueDictionary()

    def add(self, socket: Socket) -> SocketId:
        if self._hooks.increment_and_get(1) == 1:
            os.register_at_fork(after_in_child=self._abandon_all)
        socket_id = SocketId(next(self._ids))
        self._sockets[socket_id] = socket
        return socket_id

    def remove(self, socket_id: SocketId) -> None:
        self._sockets.pop(socket_id, None)

    def address(self, socket_id: SocketId) -> Socket | None:
        """The socket of that name, or `None` if it has failed or is gone."""
        return self._sockets.get(socket_id)

    def all(self) -> list[Socket]:
        return list(self._sockets.values())

    def _abandon_all(self) -> None:
        """In a forked child: these are the parent's."""
        for socket in self.all():
            socket.abandon()

    def __len__(self) -> int:
        return len(self._sockets)


SOCKETS = SocketTable()
"""Names are per process, as in bRPC. A forked child finds here what belongs to its parent."""
