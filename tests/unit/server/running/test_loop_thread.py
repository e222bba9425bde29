"""LoopThread: its loop runs whatever tasks do to it, and leaves no task at the end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pybrpc.base.deadline import NEVER
from pybrpc.server.running import loop_thread
from pybrpc.server.running.loop_thread import MAX_PAUSE_S, MIN_PAUSE_S, LoopThread
from pybrpc.testing.step_dispatcher import FakeClock
from tests.fakes.threads import wait_until

WAIT_S = 30.0

pytestmark = pytest.mark.python_only


class Running:
    """A LoopThread that runs, and how often its loop was restarted."""

    def __init__(self) -> None:
        self.restarts = 0
        self.thread = LoopThread("test-loop", self._on_restart)
        self.thread.start()

    def _on_restart(self) -> None:
        self.restarts += 1

    def call(self, function: Callable[[], Any]) -> Any:
        """Call it in the loop, and return its result."""
        done, found = threading.Event(), []

        def run() -> None:
            try:
                found.append(function())
            finally:
                done.set()

        self.thread.loop.call_soon_threadsafe(run)
        assert done.wait(WAIT_S)
        return found[0] if found else None

    def settle(self) -> None:
        """Wait until the loop runs again, or a new one does."""
        done = threading.Event()
        for _ in range(1000):
            with contextlib.suppress(RuntimeError):  # The old one is closed.
                self.thread.loop.call_soon_threadsafe(done.set)
            if done.wait(0.02):
                return
        raise AssertionError("the loop does not run")


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.settle()
    made.call(made.thread.end)
    made.thread.join(NEVER)
    assert made.thread.loop.is_closed()


def exit_by(error: type[BaseException]) -> Callable[[Running], None]:
    def harm(running: Running) -> None:
        def fail() -> None:
            raise error

        running.thread.loop.call_soon_threadsafe(fail)

    return harm


def stop(running: Running) -> None:
    running.thread.loop.call_soon_threadsafe(running.thread.loop.stop)


HARMS = {"stop": stop, "exit": exit_by(SystemExit), "interrupt": exit_by(KeyboardInterrupt)}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_loop_runs_on_after_a_task_ended_it(
    running: Running, harm: Callable[[Running], None], caplog: pytest.LogCaptureFixture
) -> None:
    loop = running.thread.loop
    ran: list[int] = []
    for number in range(3):
        loop.call_soon_threadsafe(ran.append, number)
        harm(running)
        running.settle()
    assert ran == [0, 1, 2]
    assert 1 <= running.restarts <= 3
    assert running.thread.loop is loop
    assert "the loop of async handlers was ended by one of its tasks" in caplog.text


def test_exception_set_in_the_thread_from_outside_does_not_end_it(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[int] = []
    run_loop = LoopThread._run_loop

    def interrupted(thread: LoopThread) -> None:
        run_loop(thread)
        if not raised:
            raised.append(1)
            raise KeyError

    monkeypatch.setattr(LoopThread, "_run_loop", interrupted)
    for _ in range(3):
        stop(running)
        running.settle()
    assert raised == [1]


def test_timers_go_on_after_a_restart(running: Running) -> None:
    over = threading.Event()
    running.call(lambda: running.thread.loop.call_later(0.01, over.set))
    stop(running)
    assert over.wait(WAIT_S)


def test_new_loop_runs_when_the_old_one_was_closed(running: Running) -> None:
    loop = running.thread.loop

    def close_once() -> None:
        # As another thread may do it, between two runs of the loop.
        running.thread._on_restart = running._on_restart
        loop.close()

    def stop_and_close() -> None:
        running.thread._on_restart = close_once
        loop.stop()

    loop.call_soon_threadsafe(stop_and_close)
    while not loop.is_closed():
        threading.Event().wait(0.001)
    running.settle()
    assert running.thread.loop is not loop
    assert running.restarts == 1


def start_task(running: Running, coroutine: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = running.call(lambda: running.thread.loop.create_task(coroutine))
    running.call(lambda: None)
    return task


def end(running: Running) -> None:
    running.call(running.thread.end)
    running.thread.join(NEVER)


def test_tasks_are_cancelled_and_awaited_at_the_end() -> None:
    said: list[str] = []
    tasks: list[asyncio.Task[Any]] = []

    async def tidy() -> None:
        try:
            await asyncio.sleep(WAIT_S)
        finally:
            await asyncio.sleep(0.001)
            said.append("tidied up")

    async def begin_another() -> None:
        try:
            await asyncio.sleep(WAIT_S)
        finally:
            tasks.append(asyncio.get_running_loop().create_task(tidy()))

    async def stop_the_loop() -> None:
        try:
            await asyncio.sleep(WAIT_S)
        finally:
            asyncio.get_running_loop().stop()

    async def fail() -> None:
        try:
            await asyncio.sleep(WAIT_S)
        finally:
            raise ValueError("odd")

    async def leave() -> None:
        try:
            await asyncio.sleep(WAIT_S)
        finally:
            raise SystemExit

    running = Running()
    kinds = (tidy, begin_another, stop_the_loop, fail, leave)
    for kind in kinds:
        tasks.append(start_task(running, kind()))
    end(running)
    # The task that began last may have been cancelled before its first step.
    assert said in (["tidied up"], ["tidied up"] * 2)
    assert (len(tasks), all(task.done() for task in tasks)) == (6, True)
    assert running.thread.loop.is_closed()


def test_asynchronous_generators_are_closed_at_the_end() -> None:
    said: list[str] = []

    async def generate() -> Any:
        try:
            yield 1
        finally:
            said.append("closed")

    running, kept = Running(), []

    async def begin() -> None:
        kept.append(generate())
        await kept[0].__anext__()

    start_task(running, begin())
    end(running)
    assert said == ["closed"]


def test_loop_is_closed_when_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    thread = LoopThread("test-loop", lambda: None)
    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError, match="can't start"):
        thread.start()
    assert thread.loop.is_closed()
    assert repr(thread) == "<LoopThread test-loop>"


def test_loop_that_cannot_run_is_tried_again_after_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    clock = FakeClock()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        clock.advance(seconds)
        if len(pauses) == 14:
            running.thread._is_ending = True
            del running.thread.loop.run_forever  # The end needs it.

    def fail() -> None:
        raise OSError("no more descriptors")

    monkeypatch.setattr(
        loop_thread, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=pause)
    )
    running = Running()
    running.call(lambda: setattr(running.thread.loop, "run_forever", fail))
    stop(running)
    running.thread.join(time.monotonic() + WAIT_S)
    assert pauses[:3] == [0.0, MIN_PAUSE_S, 2 * MIN_PAUSE_S]
    assert pauses == sorted(pauses)
    assert pauses[-2:] == [MAX_PAUSE_S] * 2


def test_loop_runs_again_when_a_new_one_cannot_be_made_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running, new_loop, failures = Running(), asyncio.new_event_loop, [OSError("no descriptors")] * 3
    loop = running.thread.loop

    def fail_at_first() -> asyncio.AbstractEventLoop:
        if failures:
            raise failures.pop()
        return new_loop()

    def close() -> None:
        monkeypatch.setattr(asyncio, "new_event_loop", fail_at_first)
        monkeypatch.setattr(loop, "run_forever", loop.close)
        loop.stop()

    loop.call_soon_threadsafe(close)
    wait_until(lambda: running.thread.loop is not loop)
    running.settle()
    assert failures == []
    end(running)
