"""OncePosted: what a loop has lost is posted again, though nobody adds work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pybrpc.base import once_posted
from pybrpc.base.once_posted import OncePosted

pytestmark = pytest.mark.python_only


class Boom(Exception):
    pass


class Queue:
    """A queue whose function is posted to a loop. The first run of it is lost."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.posted = OncePosted()
        self.waiting: list[str] = []
        self.done: list[str] = []
        self.runs = 0
        self.is_over = asyncio.Event()

    def add(self, work: str) -> None:
        self.waiting.append(work)
        if not self.posted.is_posted():
            self.posted.post(self.loop, self.run, self.has_work)

    def add_threadsafe(self, work: str) -> None:
        self.waiting.append(work)
        if not self.posted.is_posted():
            self.posted.post_threadsafe(self.loop, self.run, self.has_work)

    def run(self) -> None:
        self.runs += 1
        if self.runs == 1:
            raise Boom
        self.posted.begin()
        self.done += self.waiting
        self.waiting.clear()
        self.is_over.set()

    def has_work(self) -> bool:
        return bool(self.waiting)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.AbstractEventLoop]:
    monkeypatch.setattr(once_posted, "LOST_S", 0.05)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    yield loop
    loop.close()


def in_thread(function: Callable[..., object], *arguments: Any) -> None:
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    thread.join()


@pytest.mark.parametrize("is_threadsafe", [False, True])
def test_lost_function_is_posted_again_though_nothing_is_added(
    loop: asyncio.AbstractEventLoop, is_threadsafe: bool
) -> None:
    async def main() -> None:
        queue = Queue(loop)
        if is_threadsafe:
            in_thread(queue.add_threadsafe, "a")
        else:
            queue.add("a")
        await asyncio.wait_for(queue.is_over.wait(), 30)
        assert (queue.done, queue.runs) == (["a"], 2)
        assert not queue.posted.is_posted()

    loop.run_until_complete(main())


def test_next_thread_that_adds_posts_what_was_lost(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        queue = Queue(loop)
        queue.posted._watched_until = float("inf")  # The timer is lost too.
        queue.add("a")
        queue.add("b")
        await asyncio.sleep(0.2)
        assert (queue.done, queue.runs) == ([], 1)
        in_thread(queue.add_threadsafe, "c")
        await asyncio.wait_for(queue.is_over.wait(), 30)
        assert (queue.done, queue.runs) == (["a", "b", "c"], 2)

    loop.run_until_complete(main())


def test_closed_loop_leaves_nothing_posted() -> None:
    loop = asyncio.new_event_loop()
    queue = Queue(loop)
    loop.close()
    with pytest.raises(RuntimeError):
        queue.add_threadsafe("a")
    assert repr(queue.posted) == "<OncePosted not posted>"
    with pytest.raises(RuntimeError):
        queue.add("a")
    assert not queue.posted.is_posted()
