from __future__ import annotations

import threading

from pybrpc.transport.socket_map import SocketMap
from tests.unit.transport.tools import in_threads


class FakeConnection:
    def __init__(self) -> None:
        self.is_failed = False
        self.closed = 0

    def close(self) -> None:
        self.closed += 1
        self.is_failed = True


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
    shared_map: SocketMap[FakeConnection] = SocketMap()
    make = Factory()
    first, again = shared_map.acquire("a", make), shared_map.acquire("a", make)
    other = shared_map.acquire("b", make)
    assert make.made == []
    assert first.get() is again.get()
    assert first.get() is not other.get()
    assert len(shared_map) == 2


def test_a_failed_connection_is_replaced() -> None:
    make = Factory()
    shared = SocketMap[FakeConnection]().acquire("a", make)
    first = shared.get()
    first.is_failed = True
    assert shared.current is first
    second = shared.get()
    assert second is not first
    assert shared.get() is second


def test_the_last_user_closes() -> None:
    shared_map: SocketMap[FakeConnection] = SocketMap()
    make = Factory()
    users = [shared_map.acquire("a", make) for _ in range(3)]
    connection = users[0].get()
    for user in users[:2]:
        user.release()
    assert connection.closed == 0
    users[2].release()
    assert connection.closed == 1
    assert len(shared_map) == 0


def test_close_closes_all() -> None:
    shared_map: SocketMap[FakeConnection] = SocketMap()
    make = Factory()
    for key in "abc":
        shared_map.acquire(key, make).get()
    shared_map.close()
    assert [connection.closed for connection in make.made] == [1, 1, 1]


def test_threads_that_meet_get_one_connection_and_close_the_others() -> None:
    shared_map: SocketMap[FakeConnection] = SocketMap()
    for _ in range(50):
        make = Factory()
        got: list[FakeConnection] = []
        shared = shared_map.acquire("a", make)
        in_threads(4, lambda index, shared=shared, got=got: got.append(shared.get()))
        assert len(set(map(id, got))) == 1
        assert [c for c in make.made if not c.closed] == [got[0]]
        shared.release()


def test_acquire_and_release_racing_leave_nothing_open() -> None:
    shared_map: SocketMap[FakeConnection] = SocketMap()
    make = Factory()

    def run(index: int) -> None:
        for _ in range(300):
            shared = shared_map.acquire("a", make)
            shared.get()
            shared.release()

    in_threads(4, run)
    assert len(shared_map) == 0
    assert all(connection.closed for connection in make.made)
