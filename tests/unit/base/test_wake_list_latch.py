from __future__ import annotations

import asyncio
import threading
import time

from pybrpc.base.wake_list import StopLatch


def test_wait_returns_when_another_thread_sets_the_latch() -> None:
    latch = StopLatch()
    thread = threading.Thread(target=latch.set)
    thread.start()
    assert latch.wait()
    thread.join()


def test_wait_returns_at_once_if_the_latch_is_set() -> None:
    latch = StopLatch()
    latch.set()
    latch.set()
    assert latch.wait(deadline=0.0)


def test_wait_gives_up_at_its_deadline() -> None:
    latch = StopLatch()
    assert not latch.wait(time.monotonic())
    latch.set()
    assert latch.wait(time.monotonic())


def test_tasks_of_two_loops_wait_for_one_latch() -> None:
    latch = StopLatch()
    waiting = threading.Barrier(3)

    async def wait() -> None:
        task = asyncio.ensure_future(latch.wait_async())
        await asyncio.sleep(0)
        await asyncio.to_thread(waiting.wait)
        await task

    threads = [threading.Thread(target=asyncio.run, args=(wait(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    waiting.wait()
    latch.set()
    for thread in threads:
        thread.join()
    assert latch.is_set


def test_function_of_a_cancelled_waiter_is_discarded() -> None:
    latch = StopLatch()

    async def wait_and_cancel() -> None:
        task = asyncio.ensure_future(latch.wait_async())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(wait_and_cancel())
    assert not latch._waiters
