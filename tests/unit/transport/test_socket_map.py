from __future__ import annotations

import threading
from collections.abc import Callable

from pybrpc.transport.socket_map import ConnectionPlace, Shared, SocketMap
from tests.unit.transport.tools import in_threads


class FakeConnection:
    def __init__(self) -> None:
        self.is_usable = True
        self.closed = 0

    def close(self) -> None:
        self.closed += 1
        self.is_usable = False


class SharedPlace(Shared):
    """The smallest thing that can be shared: one place for one connection."""

    def __init__(self, make: Callable[[], FakeConnection]) -> None:
        super().__init__()
        self.place = ConnectionPlace(self, make)
        self.get = self.place.get
        self.close = self.place.close


class SharedPlaces(SocketMap[SharedPlace]):
    def acquire_place(self, key: str, make: Callable[[], FakeConnection]) -> SharedPlace:
        return self.acquire(key, lambda: SharedPlace(make))


class Factory:
    def __init__(self) -> None:
        self.made: list[FakeConnection] = []
        self._lock = threading.Lock()

    def __call__(self) -> FakeConnection:
        connection = FakeConnection()
        with self._lock:
            self.made.append(connection)
        return connection


def test_the_same_key_shares_and_another_does_not() -> None:
    shared_map = SharedPlaces()
    make = Factory()
    first, again = shared_map.acquire_place("a", make), shared_map.acquire_place("a", make)
    other = shared_map.acquire_place("b", make)
    assert make.made == []
    assert first.get() is again.get()
    assert first.get() is not other.get()
    assert len(shared_map) == 2


def test_a_failed_connection_is_replaced() -> None:
    make = Factory()
    shared = SharedPlaces().acquire_place("a", make)
    first = shared.get()
    first.is_usable = False
    assert shared.place.current is first
    second = shared.get()
    assert second is not first
    assert shared.get() is second


def test_the_last_user_closes() -> None:
    shared_map = SharedPlaces()
    make = Factory()
    users = [shared_map.acquire_place("a", make) for _ in range(3)]
    connection = users[0].get()
    for user in users[:2]:
        user.release()
    assert connection.closed == 0
    users[2].release()
    assert connection.closed == 1
    assert len(shared_map) == 0


def test_close_closes_all() -> None:
    shared_map = SharedPlaces()
    make = Factory()
    for key in "abc":
        shared_map.acquire_place(key, make).get()
    shared_map.close()
    assert [connection.closed for connection in make.made] == [1, 1, 1]


def test_threads_that_meet_get_one_connection_and_close_the_others() -> None:
    shared_map = SharedPlaces()
    for _ in range(50):
        make = Factory()
        got: list[FakeConnection] = []
        shared = shared_map.acquire_place("a", make)
        in_threads(4, lambda index, shared=shared, got=got: got.append(shared.get()))
        assert len(set(map(id, got))) == 1
        assert [c for c in make.made if not c.closed] == [got[0]]
        shared.release()


def test_acquire_and_release_racing_leave_nothing_open() -> None:
    shared_map = SharedPlaces()
    make = Factory()

    def run(index: int) -> None:
        for _ in range(300):
            shared = shared_map.acquire_place("a", make)
            shared.get()
            shared.release()

    in_threads(4, run)
    assert len(shared_map) == 0
    assert all(connection.closed for connection in make.made)


def test_an_offer_replaces_only_what_is_of_no_use() -> None:
    make = Factory()
    shared = SharedPlaces().acquire_place("a", make)
    first, second = make(), make()
    assert shared.place.offer(first)
    assert not shared.place.offer(second)
    first.is_usable = False
    assert shared.place.offer(second)
    assert shared.get() is second
