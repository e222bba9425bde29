"""Makes a given number of calls, a given number of them in flight."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from typing import Any

from bench.peers.entry import Kind
from bench.peers.peer import AioClient, CallbackClient, SyncClient


def make_calls(client: SyncClient, in_flight: int, count: int, payload: bytes) -> None:
    """In threads."""
    left = itertools.repeat(None, count)

    def work() -> None:
        call = client.caller()
        for _ in left:
            call(payload, 0)

    threads = [threading.Thread(target=work) for _ in range(in_flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def make_calls_with_callbacks(
    client: CallbackClient, in_flight: int, count: int, payload: bytes
) -> None:
    """Each answer starts the next call."""
    left, running = itertools.repeat(None, count - in_flight), threading.Semaphore(0)

    def on_answer(error: BaseException | None) -> None:
        if error is None and next(left, running) is not running:
            client.start(payload, on_answer)
        else:
            running.release()

    for _ in range(in_flight):
        client.start(payload, on_answer)
    for _ in range(in_flight):
        running.acquire()


async def make_calls_in_tasks(
    client: AioClient, in_flight: int, count: int, payload: bytes
) -> None:
    left = itertools.repeat(None, count)

    async def work() -> None:
        for _ in left:
            await client.call(payload, 0)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(in_flight):
            tasks.create_task(work())


LOOPS: dict[Kind, Callable[..., Any]] = {
    Kind.SYNC: make_calls,
    Kind.CALLBACKS: make_calls_with_callbacks,
    Kind.AIO: make_calls_in_tasks,
}
