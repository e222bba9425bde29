"""WakeList, and how threads and tasks wait with one."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from pybrpc.base.deadline import NEVER
from pybrpc.base.wake_list import Wake, WakeList, block_until_woken, until_woken


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


class EmptiedMeanwhile(list):  # type: ignore[type-arg]
    """A list from which another thread takes the last function just before `pop`."""

    def pop(self, index: int = -1) -> object:
        self.clear()
        return super().pop(index)


@pytest.mark.python_only
def test_list_emptied_by_another_thread_meanwhile_is_no_error() -> None:
    waiters = WakeList()
    waiters._wakes = EmptiedMeanwhile([lambda: None])
    waiters.wake_all()
    assert len(waiters) == 0


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
