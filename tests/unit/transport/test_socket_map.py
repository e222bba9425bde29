from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pybrpc.transport.socket_map import ConnectionSlot, Shared, SocketMap
from tests.fakes.threads import in_threads


class FakeConnection:
    def __init__(self) -> None:
        self.is_broken = False
        self.closed = 0

    def is_usable(self) -> bool:
        return not self.is_broken

    def close(self) -> None:
        self.closed += 1
        self.is_broken = True


class SharedPlace(Shared):
    """The smallest thing that can be shared: one place for one connection."""

    def __init__(self, make: Callable[[], FakeConnection]) -> None:
        super().__init__()
        self.place = ConnectionSlot(self, make)
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


def test_users_of_the_same_key_share_a_connection() -> None:
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
    first.is_broken = True
    assert shared.place.current is first
    second = shared.get()
    assert second is not first
    assert shared.get() is second


def test_last_user_closes_the_connection() -> None:
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


def test_offer_replaces_only_an_unusable_connection() -> None:
    make = Factory()
    shared = SharedPlaces().acquire_place("a", make)
    first, second = make(), make()
    assert shared.place.offer(first)
    assert not shared.place.offer(second)
    first.is_broken = True
    assert shared.place.offer(second)
    assert shared.get() is second


def test_second_maker_gets_the_first_connection_and_closes_its_own() -> None:
    """As if another thread had put one in while this one made its own."""
    make = Factory()
    first = make()

    def make_while_another_does() -> FakeConnection:
        shared.place.offer(first)
        return make()

    shared = SharedPlaces().acquire_place("a", make_while_another_does)
    assert shared.get() is first
    assert [connection.closed for connection in make.made] == [0, 1]


def test_connection_made_after_the_last_user_has_gone_is_closed() -> None:
    make = Factory()

    def make_late() -> FakeConnection:
        shared.release()
        return make()

    shared = SharedPlaces().acquire_place("a", make_late)
    assert shared.get().closed == 1
    assert not shared.is_used


def test_place_without_a_connection_can_be_closed() -> None:
    shared = SharedPlaces().acquire_place("a", Factory())
    shared.close()
    assert shared.place.current is None


def test_every_shared_one_forgets_its_parents_connections_after_a_fork() -> None:
    forgot: list[str] = []

    class Forgetful(SharedPlace):
        def after_fork(self) -> None:
            super().after_fork()
            forgot.append(str(self._key))

    shared_map: SocketMap[Forgetful] = SocketMap()
    for key in "ab":
        shared_map.acquire(key, lambda: Forgetful(Factory()))
    shared_map.after_fork()
    assert forgot == ["a", "b"]
    assert len(shared_map) == 2


def test_successor_under_a_key_is_not_forgotten_with_its_predecessor() -> None:
    shared_map = SharedPlaces()
    old = shared_map.acquire_place("a", Factory())
    shared_map.forget("a", old)
    new = shared_map.acquire_place("a", Factory())
    old.release()
    assert shared_map.all() == [new]


class LostPlace(SharedPlace):
    """A place whose loop is closed."""

    def is_lost(self) -> bool:
        return True


class BrokenPlace(LostPlace):
    def close_and_raise(self) -> None:
        raise SystemExit

    def __init__(self, make: Callable[[], FakeConnection]) -> None:
        super().__init__(make)
        self.close = self.close_and_raise


def test_places_of_closed_loops_are_closed_and_forgotten() -> None:
    shared_map: SocketMap[SharedPlace] = SocketMap()
    make = Factory()
    shared_map.acquire("broken", lambda: BrokenPlace(make))
    lost = shared_map.acquire("lost", lambda: LostPlace(make))
    kept = shared_map.acquire("kept", lambda: SharedPlace(make))
    connections = lost.get(), kept.get()
    shared_map.close_lost()
    assert [each.closed for each in connections] == [1, 0]
    assert shared_map.all() == [kept]
    lost.release()
    assert shared_map.all() == [kept]


def test_use_whose_beginning_raises_is_none() -> None:
    class Refusing(SharedPlace):
        def on_acquired(self) -> None:
            raise KeyboardInterrupt

    places = SharedPlaces()
    place = Refusing(Factory())
    with pytest.raises(KeyboardInterrupt):
        places.acquire("key", lambda: place)
    assert not place.is_used
    assert len(places) == 0
