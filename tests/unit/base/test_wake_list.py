"""WakeList, and how threads and tasks wait with one."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time

import pytest

from pybrpc.base.deadline import NEVER
from pybrpc.base.wake_list import StopLatch, Wake, WakeList, block_until_woken, until_woken


def test_functions_are_called_once_and_in_order() -> None:
    called: list[str] = []
    waiters = WakeList()
    waiters.add(lambda: called.append("first"))
    waiters.add(lambda: called.append("second"))
    assert len(waiters) == 2
    waiters.wake_all()
    waiters.wake_all()
    assert called == ["first", "second"]


def test_discarded_function_is_not_called() -> None:
    called: list[str] = []
    waiters, wake = WakeList(), lambda: called.append("woken")
    waiters.add(wake)
    waiters.discard(wake)
    waiters.discard(wake)
    waiters.wake_all()
    assert called == []


def test_function_added_while_others_are_called_is_called_too() -> None:
    called: list[str] = []
    waiters = WakeList()
    waiters.add(lambda: waiters.add(lambda: called.append("late")))
    waiters.wake_all()
    assert called == ["late"]


def test_function_that_is_discarded_while_others_are_called_is_not_called() -> None:
    called: list[str] = []
    waiters, second = WakeList(), lambda: called.append("second")

    def first() -> None:
        called.append("first")
        waiters.discard(second)

    waiters.add(first)
    waiters.add(second)
    waiters.wake_all()
    assert (called, len(waiters)) == (["first"], 0)


@pytest.mark.parametrize("raised", [ValueError, SystemExit, MemoryError])
def test_function_that_raises_keeps_no_other_from_being_called(
    raised: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []

    def fail() -> None:
        raise raised

    waiters = WakeList()
    waiters.add(fail)
    waiters.add(lambda: called.append("second"))
    with caplog.at_level(logging.ERROR, "pybrpc"):
        waiters.wake_all()
    assert called == ["second"]
    assert [record.getMessage() for record in caplog.records] == [
        "a function that wakes a waiter raised"
    ]


def seconds_to_wake(count: int) -> float:
    waiters, others = WakeList(), WakeList()
    wakes = [functools.partial(int) for _ in range(count)]
    for wake in wakes:
        waiters.add(wake)
        others.add(wake)
    began_at = time.thread_time()
    waiters.wake_all()
    for wake in reversed(wakes):
        others.discard(wake)
    return time.thread_time() - began_at


def test_waking_and_discarding_many_is_linear() -> None:
    few = min(seconds_to_wake(2_000) for _ in range(3))
    assert seconds_to_wake(32_000) < 16 * 5 * few


class Event:
    """An event that threads and tasks wait for: it calls each of their functions twice."""

    def __init__(self) -> None:
        self.waiting: list[Wake] = []
        self.has_waiter = threading.Event()

    def add(self, wake: Wake) -> None:
        self.waiting.append(wake)
        self.has_waiter.set()

    def come(self) -> None:
        for wake in list(self.waiting):
            wake()
            wake()

    def come_when_one_waits(self) -> threading.Thread:
        thread = threading.Thread(target=lambda: self.has_waiter.wait(30) and self.come())
        thread.start()
        return thread


@pytest.fixture
def event() -> Event:
    return Event()


def test_blocked_thread_is_woken_and_its_function_discarded(event: Event) -> None:
    thread = event.come_when_one_waits()
    assert block_until_woken(event.add, event.waiting.remove, NEVER)
    thread.join()
    assert event.waiting == []


def test_blocked_thread_gives_up_at_its_deadline(event: Event) -> None:
    assert not block_until_woken(event.add, event.waiting.remove, time.monotonic())
    assert event.waiting == []


def test_task_is_woken_by_another_thread(event: Event) -> None:
    thread = event.come_when_one_waits()
    asyncio.run(until_woken(event.add, event.waiting.remove))
    thread.join()
    assert event.waiting == []


def test_function_of_a_cancelled_task_is_discarded(event: Event) -> None:
    async def wait_a_moment() -> None:
        await asyncio.wait_for(until_woken(event.add, event.waiting.remove), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(wait_a_moment())
    assert event.waiting == []
    event.come()


def test_latch_calls_functions_when_it_is_set_and_later_ones_at_once() -> None:
    called: list[str] = []
    latch = StopLatch()
    latch.notify(lambda: called.append("early"))
    assert called == []
    latch.set()
    latch.set()
    latch.notify(lambda: called.append("late"))
    assert called == ["early", "late"]
