"""SocketTable: the ids of the sockets of this process that have not failed."""

from __future__ import annotations

import itertools
import os
import weakref
from typing import Any, Generic, NewType, Protocol, TypeVar

from pybrpc.base.atomic import atomic_counter

SocketId = NewType("SocketId", int)
"""The id of one socket. It may be kept anywhere; no other socket of this process ever gets it."""


class Abandonable(Protocol):
    """A socket, as far as the table needs to know it."""

    def abandon(self) -> None:
        """Close this process's copy of the descriptor, and do nothing else."""


S = TypeVar("S", bound=Abandonable)


class SocketTable(Generic[S]):
    """Sockets that have not failed, by id. It keeps no socket alive. Thread-safe, without a lock.

    A forked child inherits the sockets of its parent and abandons them at once.
    """

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._hooks = atomic_counter()
        self._sockets: weakref.WeakValueDictionary[SocketId, S] = weakref.WeakValueDictionary()

    def add(self, socket: S) -> SocketId:
        """Enter a socket; return its id."""
        if self._hooks.increment_and_get(1) == 1:
            os.register_at_fork(after_in_child=self._abandon_all)
        socket_id = SocketId(next(self._ids))
        self._sockets[socket_id] = socket
        return socket_id

    def remove(self, socket_id: SocketId) -> None:
        """Forget a socket that has failed. Nothing happens if it was removed before."""
        self._sockets.pop(socket_id, None)

    def address(self, socket_id: SocketId) -> S | None:
        """The socket with that id, or `None` if it has failed or is gone."""
        return self._sockets.get(socket_id)

    def all(self) -> list[S]:
        return list(self._sockets.values())

    def _abandon_all(self) -> None:
        """Runs in a forked child."""
        for socket in self.all():
            socket.abandon()

    def __len__(self) -> int:
        return len(self._sockets)


SOCKETS: SocketTable[Any] = SocketTable()
"""All sockets of this process. Ids belong to one process, as in bRPC."""
