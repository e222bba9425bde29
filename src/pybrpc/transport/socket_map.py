"""SocketMap: who talks to the same peer shares a connection. After bRPC's SocketMap."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar

from pybrpc.base.atomic import AtomicRef, atomic_counter, atomic_ref


class Shared:
    """What several share: its last user closes it. A place for one connection, or for several.

    May be used again after that: a new user may come while the last one leaves.
    """

    __slots__ = ("_key", "_map", "_users")

    def __init__(self) -> None:
        self._map: SocketMap[Any] | None = None
        self._key: Hashable = None
        self._users = atomic_counter()

    @property
    def is_used(self) -> bool:
        return self._users.get() > 0

    def acquire(self) -> None:
        self._users.increment_and_get(1)

    def release(self) -> None:
        """The last user closes."""
        if self._users.decrement_and_get(1) == 0:
            if self._map is not None:
                self._map.forget(self._key, self)
            self.close()

    def close(self) -> None:
        """Close what it holds. Never blocks."""
        raise NotImplementedError

    def after_fork(self) -> None:
        """In a forked child: forget what belongs to the parent's threads. Nothing to do, here."""


class Connection(Protocol):
    """What is shared: something on top of one Socket."""

    def is_usable(self) -> bool:
        """Whether something new may be sent over it."""

    def close(self) -> None:
        """Close it now. Never blocks."""


C = TypeVar("C", bound=Connection)
S = TypeVar("S", bound=Shared)


class ConnectionSlot(Generic[C]):
    """The place of one live connection. A broken one is replaced, never revived.

    All methods may be called from any thread, re-entrantly; none blocks or takes a lock.
    """

    __slots__ = ("_current", "_make", "_owner")

    def __init__(self, owner: Shared, make: Callable[[], C]) -> None:
        self._owner = owner
        self._make = make
        self._current: AtomicRef[C | None] = atomic_ref(None)

    def get(self) -> C:
        """The live connection; made now (but not connected) if there is none."""
        current = self._current.get()
        while current is None or not current.is_usable():
            fresh = self._make()
            if self._put_in(current, fresh):
                return fresh
            fresh.close()
            current = self._current.get()
        return current

    def offer(self, connection: C) -> bool:
        """Put a connection in unless there is a live one; then False."""
        current = self._current.get()
        return (current is None or not current.is_usable()) and self._put_in(current, connection)

    @property
    def current(self) -> C | None:
        """The connection as it is, dead or alive; `None` before the first."""
        return self._current.get()

    def close(self) -> None:
        current = self._current.get()
        if current is not None:
            current.close()

    def _put_in(self, current: C | None, fresh: C) -> bool:
        if not self._current.compare_and_set(current, fresh):
            return False
        if not self._owner.is_used:
            # Released meanwhile, before the exchange: nobody else would close it.
            fresh.close()
        return True


class SocketMap(Generic[S]):
    """Shared things by key: the address and whatever else must be equal to share."""

    def __init__(self) -> None:
        self._shared: dict[Hashable, S] = {}

    def acquire(self, key: Hashable, make: Callable[[], S]) -> S:
        """What is shared under `key`, for one more user, who must `release` it."""
        shared = self._shared.get(key)
        if shared is None:
            fresh = make()
            fresh._map = self
            fresh._key = key
            shared = self._shared.setdefault(key, fresh)
        shared.acquire()
        return shared

    def forget(self, key: Hashable, shared: Shared) -> None:
        if self._shared.get(key) is shared:
            self._shared.pop(key, None)

    def all(self) -> list[S]:
        return list(self._shared.values())

    def close(self) -> None:
        for shared in self.all():
            shared.close()

    def after_fork(self) -> None:
        for shared in self.all():
            shared.after_fork()

    def __len__(self) -> int:
        return len(self._shared)
