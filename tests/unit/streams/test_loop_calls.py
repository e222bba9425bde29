"""LoopCalls and LoopWait: functions of other threads in a loop."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from functools import partial

from pybrpc.streams import loop_calls as loop_calls_module
from pybrpc.streams.loop_calls import LoopCalls, LoopWait, calls_of
from tests.fakes.threads import WAIT_S, in_threads


def test_functions_of_threads_run_in_the_loop_in_order() -> None:
    async def main() -> None:
        calls = calls_of(asyncio.get_running_loop())
        assert calls_of(asyncio.get_running_loop()) is calls
        here = threading.get_ident()
        ran: list[tuple[int, int]] = []
        over = asyncio.Event()

        def run(thread: int, number: int) -> None:
            assert threading.get_ident() == here
            ran.append((thread, number))
            if len(ran) == 2000:
                over.set()

        def put_all(thread: int) -> None:
            for number in range(500):
                calls.put(partial(run, thread, number))

        await asyncio.to_thread(in_threads, 4, put_all)
        await asyncio.wait_for(over.wait(), WAIT_S)
        for thread in range(4):
            assert [number for each, number in ran if each == thread] == list(range(500))

    asyncio.run(main())


def test_function_that_raises_hinders_no_other() -> None:
    async def main() -> None:
        calls = calls_of(asyncio.get_running_loop())
        over = asyncio.Event()
        calls.put(lambda: 1 / 0)
        calls.put(over.set)
        assert "2 waiting" in repr(calls)
        await asyncio.wait_for(over.wait(), WAIT_S)

    asyncio.run(main())


def test_many_functions_leave_room_for_others() -> None:
    async def main() -> None:
        calls = calls_of(asyncio.get_running_loop())
        ran: list[int] = []
        for number in range(loop_calls_module.MOST_CALLED + 1):
            calls.put(lambda number=number: ran.append(number))
        while not ran:
            await asyncio.sleep(0)
        assert len(ran) == loop_calls_module.MOST_CALLED
        while len(ran) <= loop_calls_module.MOST_CALLED:
            await asyncio.sleep(0)
        assert ran == sorted(ran)

    asyncio.run(main())


def test_functions_for_a_closed_loop_are_dropped() -> None:
    loop = asyncio.new_event_loop()
    calls = LoopCalls(loop)
    loop.close()
    calls.put(lambda: 1 / 0)
    assert "0 waiting" in repr(calls)


def test_wait_ends_from_the_loop_and_from_a_thread() -> None:
    async def main() -> None:
        here, there = LoopWait(), LoopWait()
        here.end()
        assert here.future.done()
        await asyncio.to_thread(there.end)
        await asyncio.wait_for(there.future, WAIT_S)
        given_up = LoopWait()
        given_up.future.cancel()
        given_up.end()
        assert given_up.future.cancelled()

    asyncio.run(main())


def test_loops_that_are_over_are_collected() -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []
    kept: list[LoopCalls] = []

    async def main() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        kept.append(calls_of(asyncio.get_running_loop()))
        LoopWait().end()

    for _ in range(3):
        asyncio.run(main())
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3
    kept[0].put(lambda: 1 / 0)
    assert "0 waiting" in repr(kept[0])
