"""Dispatchers of each kind, with a thread behind them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Callable, Iterator

from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.dispatch.direct_dispatcher import DirectDispatcher
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from tests.fakes.threads import WAIT_S
from tests.peers.loops import LOOPS


class LoopThread:
    """An asyncio loop that runs in a thread of its own."""

    def __init__(self, make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.loop = make_loop()
        self.dispatcher = AsyncioDispatcher(self.loop)
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def close(self) -> None:
        """End the loop after what was posted, and what that posted, has run."""
        for _ in range(3):
            ran = threading.Event()
            self.loop.call_soon_threadsafe(ran.set)
            assert ran.wait(WAIT_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WAIT_S)
        self.loop.close()


@contextlib.contextmanager
def running_dispatcher(kind: str) -> Iterator[EventDispatcher]:
    """A dispatcher of that kind, with a thread behind it."""
    if kind == "epoll":
        dispatcher = EpollDispatcher()
        try:
            yield dispatcher
        finally:
            dispatcher.close()
        return
    if kind == "direct":
        with running_dispatcher("epoll") as shared:
            assert isinstance(shared, EpollDispatcher)
            yield DirectDispatcher(shared)
        return
    loop = LoopThread(LOOPS[kind])
    try:
        yield loop.dispatcher
    finally:
        loop.close()


def run_inside(dispatcher: EventDispatcher, function: Callable[[], object]) -> None:
    """Run a function in a turn of the dispatcher and wait until it has ended."""
    over = threading.Event()

    def run() -> None:
        try:
            function()
        finally:
            over.set()

    dispatcher.post(run)
    assert over.wait(WAIT_S)


def run_timers(step: StepDispatcher) -> int:
    """Run the timers that are set now, whenever they are due; return how many there were.

    For code that takes its deadlines from the real clock.
    """
    deadlines = [timer.deadline for timer in step._timers if timer.function is not None]
    step.clock.now_s = max(step.clock.now_s, *deadlines, 0.0)
    step.run_until_idle()
    return len(deadlines)


def wait_until_collected(epoll: EpollDispatcher, is_collected: threading.Event) -> None:
    """Run turns and garbage collections until a finalizer sets the event; AssertionError if not."""
    for _ in range(100):
        run_inside(epoll, lambda: None)
        gc.collect()
        if is_collected.is_set():
            return
    raise AssertionError("the object is still referred to")
