"""Threads and tasks that call without a pause."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pybrpc
from tests.peers.echo import ECHO, echo_request
from tests.peers.loops import LOOPS

THREADS = 16
TASKS = 16
LOOP_KINDS = (("asyncio", False), ("uvloop", False), ("asyncio", True))
"""The name of a loop, and whether its channel shares connections with threads."""

CALLERS = THREADS + TASKS * len(LOOP_KINDS)


class Workload:
    """Threads and tasks that call without a pause, until they are told to end."""

    def __init__(self, address: str, **options: Any) -> None:
        self._address = address
        self._options: dict[str, Any] = {"timeout": 60, "connect_timeout": 30, **options}
        self._is_over = threading.Event()
        self.answered = 0
        self.errors: list[BaseException] = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._call) for _ in range(THREADS)]
        self._threads += [
            threading.Thread(target=self._run_loop, args=(loop, share))
            for loop, share in LOOP_KINDS
        ]

    def __enter__(self) -> Workload:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        with pybrpc.Channel(self._address, **self._options) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            while not self._is_over.is_set():
                try:
                    self._note(stub.Echo(echo_request("thread")), "thread")
                except BaseException as error:
                    self.errors.append(error)

    def _run_loop(self, loop: str, share: bool) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(self._call_in_tasks(share))

    async def _call_in_tasks(self, share: bool) -> None:
        async with pybrpc.aio.Channel(
            self._address, share_with_threads=share, **self._options
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            await asyncio.gather(*(self._call_in_task(stub) for _ in range(TASKS)))

    async def _call_in_task(self, stub: Any) -> None:
        while not self._is_over.is_set():
            try:
                self._note(await stub.Echo(echo_request("task")), "task")
            except BaseException as error:
                self.errors.append(error)

    def _note(self, response: Any, expected: str) -> None:
        assert response.message == expected
        with self._lock:
            self.answered += 1
