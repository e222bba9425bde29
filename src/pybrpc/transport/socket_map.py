"""SocketMap: who talks to the same peer shares a connection. After bRPC's SocketMap."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from pybrpc.base.atomic import AtomicRef, atomic_counter, atomic_ref


class Connection(Protocol):
    """What is shared: something on top of one Socket."""

    @property
    def is_failed(self) -> bool:
        """Whether it is of no use any more."""

    def close(self) -> None:
        """Close it now. Never blocks."""


C = TypeVar("C", bound=Connection)


class SharedConnection(Generic[C]):
    """The place of the one live connection to a peer. A broken one is replaced, never revived.

    All methods may be called from any thread, re-entrantly; none blocks or takes a lock.
    """

    __slots__ = ("_current", "_key", "_make", "_map", "_users")

    def __init__(self, owner: SocketMap[C], key: Hashable, make: Callable[[], C]) -> None:
        self._map = owner
        self._key = key
        self._make = make
        self._users = atomic_counter()
        self._current: AtomicRef[C | None] = atomic_ref(None)

    def get(self) -> C:
        """The live connection; made now (but not connected) if there is none."""
        current = self._current.get()
        while current is None or current.is_failed:
            fresh = self._make()
            if self._current.compare_and_set(current, fresh):
                if self._users.get() <= 0:
                    # Released meanwhile, before the exchange: nobody else would close it.
                    fresh.close()
                return fresh
            fresh.close()
            current = self._current.get()
        return current

    @property
    def current(self) -> C | None:
        """The connection as it is, dead or alive; `None` before the first."""
        return self._current.get()

    def acquire(self) -> None:
        self._users.increment_and_get(1)

    def release(self) -> None:
        """The last user closes the connection."""
        if self._users.decrement_and_get(1) == 0:
            self._map.forget(self._key, self)
            self.close()

    def close(self) -> None:
        current = self._current.get()
        if current is not None:
            current.close()


class SocketMap(Generic[C]):
    """SharedConnections by key: the address and whatever else must be equal to share."""

    def __init__(self) -> None:
        self._shared: dict[Hashable, SharedConnection[C]] = {}

    def acquire(self, key: Hashable, make: Callable[[], C]) -> SharedConnection[C]:
        """The place for `key`, for one more user, who must `release` it. Connects nothing."""
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared.setdefault(key, SharedConnection(self, key, make))
        shared.acquire()
        return shared

    def forget(self, key: Hashable, shared: SharedConnection[C]) -> None:
        if self._shared.get(key) is shared:
            self._shared.pop(key, None)

    def all(self) -> list[SharedConnection[C]]:
        return list(self._shared.values())

    def close(self) -> None:
        for shared in self.all():
            shared.close()

    def __len__(self) -> int:
        return len(self._shared)
