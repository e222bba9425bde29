"""Keeps a fixed number of calls in flight for a while and counts the answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from bench.callers import Callers, check_answer
from bench.figures import Figures
from bench.meter import Meter
from bench.peers.peer import AioClient, CallbackClient, OnAnswer, SyncClient
from bench.work import ClosedLoop, Window


def run_threads(client: SyncClient, work: ClosedLoop, window: Window, meter: Meter) -> Figures:
    """Threads that call over and over."""
    payload = b"x" * work.size_bytes
    callers, counters = Callers(), [0] * work.in_flight

    def work_of(index: int) -> Callable[[], None]:
        call = client.caller()

        def call_on() -> None:
            while not callers.stop.is_set():
                call(payload, 0)
                counters[index] += 1

        return call_on

    check_answer(client.caller()(payload, 0), payload)
    works = [work_of(index) for index in range(work.in_flight)]
    callers.run_threads(works, lambda: measure(callers, counters, window, meter))
    return meter.figures()


def run_callbacks(
    client: CallbackClient, work: ClosedLoop, window: Window, meter: Meter
) -> Figures:
    """Each answer starts the next call."""
    payload = b"x" * work.size_bytes
    callers, counters = Callers(), [0] * work.in_flight
    ended = threading.Semaphore(0)

    def make_on_answer(index: int) -> OnAnswer:
        def on_answer(error: BaseException | None) -> None:
            counters[index] += 1
            if error is not None:
                callers.failed(RuntimeError(str(error)))
            if callers.stop.is_set():
                ended.release()
            else:
                client.start(payload, on_answer)

        return on_answer

    for index in range(work.in_flight):
        client.start(payload, make_on_answer(index))
    measure(callers, counters, window, meter)
    for _ in range(work.in_flight):
        ended.acquire()
    callers.check()
    return meter.figures()


def measure(callers: Callers, counters: list[int], window: Window, meter: Meter) -> None:
    """Let them call for `window`, then ask them to stop."""
    callers.stop.wait(window.warm_up_s)
    meter.begin(sum(counters))
    callers.stop.wait(window.measure_s)
    meter.end(sum(counters))
    callers.stop.set()


async def run_tasks(client: AioClient, work: ClosedLoop, window: Window, meter: Meter) -> Figures:
    """Tasks of one loop that await answers over and over."""
    payload = b"x" * work.size_bytes
    counters = [0] * work.in_flight
    stopping = False
    call = client.call

    async def call_on(index: int) -> None:
        while not stopping:
            await call(payload, 0)
            counters[index] += 1

    check_answer(await call(payload, 0), payload)
    async with asyncio.TaskGroup() as callers:
        for index in range(work.in_flight):
            callers.create_task(call_on(index))
        await asyncio.sleep(window.warm_up_s)
        meter.begin(sum(counters))
        await asyncio.sleep(window.measure_s)
        meter.end(sum(counters))
        stopping = True
    return meter.figures()
