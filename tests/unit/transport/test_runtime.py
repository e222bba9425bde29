from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from pybrpc.transport.runtime import (
    Runtime,
    _after_fork_in_child,
    default_runtime,
    reset_default_runtime,
    swap_default_runtime,
)
from pybrpc.transport.socket_map import Shared
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.dispatchers import run_inside
from tests.fakes.threads import in_threads


def test_a_new_runtime_starts_nothing() -> None:
    threads = threading.active_count()
    runtime = Runtime()
    assert threading.active_count() == threads
    assert repr(runtime) == "<Runtime 0 shared connections, None>"
    runtime.close()


def test_threads_that_meet_get_one_dispatcher() -> None:
    for _ in range(20):
        runtime = Runtime()
        got: list[EpollDispatcher] = []
        in_threads(4, lambda index, r=runtime, got=got: got.append(r.dispatcher))
        assert len(set(map(id, got))) == 1
        runtime.close()


def test_threads_that_meet_get_one_default_runtime() -> None:
    reset_default_runtime()
    got: list[Runtime] = []
    in_threads(8, lambda index: got.append(default_runtime()))
    assert len(set(map(id, got))) == 1


def test_reset_ends_the_thread_and_the_next_use_makes_a_new_one() -> None:
    first = default_runtime()
    dispatcher = first.dispatcher
    run_inside(dispatcher, lambda: None)
    reset_default_runtime()
    with pytest.raises(DispatcherClosedError):
        dispatcher.post(lambda: None)
    assert default_runtime() is not first


def test_each_loop_has_one_dispatcher_of_its_own() -> None:
    runtime = Runtime()

    async def mine() -> object:
        loop = asyncio.get_running_loop()
        dispatcher = runtime.dispatcher_of(loop)
        assert runtime.dispatcher_of(loop) is dispatcher
        assert dispatcher.loop is loop
        return dispatcher

    first = asyncio.run(mine())
    assert asyncio.run(mine()) is not first


def test_closed_loops_are_not_kept() -> None:
    runtime = Runtime()

    async def use() -> None:
        runtime.dispatcher_of(asyncio.get_running_loop())

    for _ in range(20):
        asyncio.run(use())
    gc.collect()
    assert len(runtime._loop_dispatchers) <= 2


@pytest.mark.parametrize("limit", [None, 0, 1000])
def test_limit_of_what_is_queued_may_be_changed(limit: int | None) -> None:
    runtime = Runtime(limit)
    assert runtime.max_queued_bytes == limit
    runtime.max_queued_bytes = 7
    assert runtime.backlog.limit_bytes == 7
    with pytest.raises(
        ValueError, match="max_queued_bytes must be None or a whole number >= 0, not -1"
    ):
        runtime.max_queued_bytes = -1
    with pytest.raises(ValueError, match="max_queued_bytes"):
        Runtime(-1)


class FakeAcceptor:
    abandoned = 0

    def abandon(self) -> None:
        self.abandoned += 1


class FakePlace(Shared):
    forgot = 0

    def close(self) -> None:
        pass

    def after_fork(self) -> None:
        self.forgot += 1


def test_forked_child_abandons_its_parents_connections_and_keeps_settings() -> None:
    """The steps of a forked child, made here: no thread polls the dispatcher."""
    reset_default_runtime()
    parents = default_runtime()
    parents.max_queued_bytes = 1000
    parents.default_socket_options = options = SocketOptions(keepalive=False)
    acceptor, dispatcher = FakeAcceptor(), EpollDispatcher()
    parents.acceptors.add(acceptor)
    parents._dispatcher.get_and_set(dispatcher)
    place = parents.connections.acquire("key", FakePlace)
    _after_fork_in_child()
    mine = default_runtime()
    assert mine is not parents
    assert (mine.max_queued_bytes, mine.default_socket_options) == (1000, options)
    assert mine.connections.all() == [place]
    assert (place.forgot, acceptor.abandoned) == (1, 1)
    assert mine.dispatcher is not dispatcher


def test_forked_child_makes_nothing_if_its_parent_used_nothing() -> None:
    reset_default_runtime()
    _after_fork_in_child()
    threads = threading.active_count()
    assert repr(default_runtime()) == "<Runtime 0 shared connections, None>"
    default_runtime().abandon()
    assert threading.active_count() == threads


def test_forked_child_makes_other_runtimes_anew_in_place() -> None:
    """The steps of a forked child, made here: no thread polls the dispatcher."""
    own, broken = Runtime(1000), Runtime()
    acceptor, dispatcher = FakeAcceptor(), EpollDispatcher()
    own.acceptors.add(acceptor)
    own._dispatcher.get_and_set(dispatcher)
    own.backlog.move(0, 1 << 20)
    place = own.connections.acquire("key", FakePlace)
    broken.acceptors = {object()}  # type: ignore[assignment]
    _after_fork_in_child()
    assert (acceptor.abandoned, place.forgot, list(own.acceptors)) == (1, 1, [])
    assert (own.max_queued_bytes, own.backlog.size_bytes) == (1000, 0)
    assert own.dispatcher is not dispatcher
    own.close()


def test_runtime_that_nobody_uses_is_not_kept() -> None:
    known = weakref.ref(Runtime())
    gc.collect()
    assert known() is None


def test_default_runtime_can_be_swapped_and_put_back() -> None:
    before = default_runtime()
    mine = Runtime()
    assert swap_default_runtime(mine) is before
    assert default_runtime() is mine
    assert swap_default_runtime(before) is mine
    assert default_runtime() is before
    mine.close()
