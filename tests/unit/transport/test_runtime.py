from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from pybrpc.transport.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.event_dispatcher import DispatcherClosedError
from pybrpc.transport.runtime import Runtime, default_runtime, reset_default_runtime
from tests.unit.transport.tools import in_threads, run_inside


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
