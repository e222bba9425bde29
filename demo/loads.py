"""The loads of the demo: threads, tasks, and both, all over one connection."""

from __future__ import annotations

import asyncio
import threading
import time
from array import array
from collections import Counter
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest

THREADS = 32
TASKS = 64
REQUEST = EchoRequest(message="x" * 32)


class Tally:
    """Latencies (seconds) and errors of one load. Added to by many threads."""

    def __init__(self) -> None:
        self.latencies_s = array("d")
        self.errors: Counter[str] = Counter()

    def note_error(self, error: pybrpc.RpcError) -> None:
        self.errors[error.name] += 1


def call_from_threads(address: str, seconds: float, tally: Tally) -> None:
    """`THREADS` threads that call and wait, call and wait."""
    end = time.perf_counter() + seconds

    def call_until_end() -> None:
        with pybrpc.Channel(address, timeout=5) as channel:
            echo = pybrpc.Stub(SERVICE, channel).Echo
            while (started := time.perf_counter()) < end:
                try:
                    echo(REQUEST)
                except pybrpc.RpcError as error:
                    tally.note_error(error)
                else:
                    tally.latencies_s.append(time.perf_counter() - started)

    threads = [threading.Thread(target=call_until_end, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def call_from_tasks(address: str, seconds: float, tally: Tally) -> None:
    """`TASKS` asyncio tasks of one loop, over the connection of the threads."""
    asyncio.run(_call_from_tasks(address, seconds, tally))


async def _call_from_tasks(address: str, seconds: float, tally: Tally) -> None:
    async with pybrpc.aio.Channel(address, timeout=5, share_with_threads=True) as channel:
        echo: Any = pybrpc.Stub(SERVICE, channel).Echo
        end = time.perf_counter() + seconds

        async def call_until_end() -> None:
            while (started := time.perf_counter()) < end:
                try:
                    await echo(REQUEST)
                except pybrpc.RpcError as error:
                    tally.note_error(error)
                else:
                    tally.latencies_s.append(time.perf_counter() - started)

        await asyncio.gather(*(call_until_end() for _ in range(TASKS)))


def call_from_both(address: str, seconds: float, tally: Tally) -> None:
    """The threads and the tasks at once."""
    tasks = threading.Thread(target=call_from_tasks, args=(address, seconds, tally), daemon=True)
    tasks.start()
    call_from_threads(address, seconds, tally)
    tasks.join()


LOADS = {
    f"{THREADS} threads": call_from_threads,
    f"{TASKS} asyncio tasks": call_from_tasks,
    "both at once": call_from_both,
}
