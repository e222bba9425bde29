"""Threads of the tests: some that block, and one with a loop that goes on whatever is raised."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any


class Blockers:
    """Daemon threads that do jobs, which may block. What a job raises ends nothing."""

    def __init__(self, count: int) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
        for _ in range(count):
            threading.Thread(target=self._run, name="blocker", daemon=True).start()

    def do(self, job: Callable[[], Any]) -> None:
        self._jobs.put(job)

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except BaseException:
                continue


class LoopThread:
    """An asyncio loop in a daemon thread. It runs on after a callback has raised SystemExit or
    KeyboardInterrupt, which asyncio lets out of `run_forever`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda *_: None)
        self._tasks: set[asyncio.Task[Any]] = set()
        threading.Thread(target=self._run, name="test-loop", daemon=True).start()

    def begin(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run a coroutine as a task. Any thread."""
        self.loop.call_soon_threadsafe(self._begin, make)

    def do(self, job: Callable[[], Any]) -> None:
        """Call `job()` in the loop. Any thread."""
        self.loop.call_soon_threadsafe(job)

    def run(self, make: Callable[[], Coroutine[Any, Any, Any]], limit_s: float) -> Any:
        """Run a coroutine, and wait for its result."""
        return asyncio.run_coroutine_threadsafe(make(), self.loop).result(limit_s)

    def _begin(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        task = self.loop.create_task(make())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        while True:
            try:
                self.loop.run_forever()
            except BaseException:
                continue
