"""SocketMap: channels to the same peer share a connection. After bRPC's SocketMap."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar

from pybrpc.base.atomic import AtomicRef, atomic_counter, atomic_ref
from pybrpc.base.guard import TRANSPORT, run_guarded


class Shared:
    """Holds one connection, or several, that several users share: the last user closes it.

    It may be used again after that: a new user may acquire it while the last one releases it.
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
        """Begin one use. What is raised meanwhile, such as by a signal handler, leaves none."""
        self._users.increment_and_get(1)
        try:
            self.on_acquired()
        except BaseException:
            self.release()
            raise

    def on_acquired(self) -> None:
        """There is one more user. The base class does nothing."""

    def release(self) -> None:
        """End one use. The last user closes it."""
        if self._users.decrement_and_get(1) == 0:
            if self._map is not None:
                self._map.forget(self._key, self)
            self.close()

    def close(self) -> None:
        """Close the connections that it holds. Never blocks."""
        raise NotImplementedError

    def is_lost(self) -> bool:
        """Whether it can never be used again, because the loop that polls it is closed."""
        return False

    def after_fork(self) -> None:
        """In a forked child: forget objects of the parent's threads. The base class has none."""


class Connection(Protocol):
    """A connection that is shared, on top of one Socket."""

    def is_usable(self) -> bool:
        """Whether a new call may be sent over it."""

    def close(self) -> None:
        """Close it now. Never blocks."""


C = TypeVar("C", bound=Connection)
S = TypeVar("S", bound=Shared)


class ConnectionSlot(Generic[C]):
    """Holds one live connection. A broken one is replaced, never revived.

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
        """Put a connection in. False if there is a live one."""
        current = self._current.get()
        return (current is None or not current.is_usable()) and self._put_in(current, connection)

    @property
    def current(self) -> C | None:
        """The connection, live or not; `None` before the first."""
        return self._current.get()

    def close(self) -> None:
        current = self._current.get()
        if current is not None:
            current.close()

    def _put_in(self, current: C | None, fresh: C) -> bool:
        if not self._current.compare_and_set(current, fresh):
            return False
        if not self._owner.is_used:
            # Released before the exchange, so no other thread would close it.
            fresh.close()
        return True


class SocketMap(Generic[S]):
    """Shared connections by key: the address, and all options that must be equal to share them."""

    def __init__(self) -> None:
        self._shared: dict[Hashable, S] = {}

    def acquire(self, key: Hashable, make: Callable[[], S]) -> S:
        """The Shared under `key`, for one more user, which must `release` it."""
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

    def close_lost(self) -> None:
        """Close and forget those whose loops are closed: their users may be kept by them alone."""
        for shared in self.all():
            if shared.is_lost():
                self.forget(shared._key, shared)
                run_guarded(shared.close, what=f"closing {shared!r}", log=TRANSPORT)

    def after_fork(self) -> None:
        for shared in self.all():
            run_guarded(shared.after_fork, what=f"renewing {shared!r}", log=TRANSPORT)

    def __len__(self) -> int:
        return len(self._shared)
