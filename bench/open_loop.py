"""Calls at a fixed rate: each starts when it is due, however long the others take."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from functools import partial

from bench.callers import Callers, check_answer
from bench.figures import Figures
from bench.meter import Meter
from bench.peers.peer import AioClient, SyncClient
from bench.schedule import Schedule
from bench.work import FixedRate, Window


def run_threads(client: SyncClient, work: FixedRate, window: Window, meter: Meter) -> Figures:
    """Whichever thread is free waits for the next call's time, and calls.

    If all of them wait for answers, the next call is late, and its latency says so.
    """
    payload = b"x" * work.size_bytes
    callers, numbers = Callers(), itertools.count()
    check_answer(client.caller()(payload, 0), payload)
    calls = [client.caller() for _ in range(work.callers)]
    schedule = Schedule(work, window)

    def work_of(call: Callable[[bytes, int], object]) -> Callable[[], None]:
        def call_on() -> None:
            while (index := next(numbers)) < schedule.length and not callers.stop.is_set():
                if (wait_s := schedule.due_in_s(index)) > 0:
                    time.sleep(wait_s)
                schedule.note_sent(index)
                call(payload, schedule.sleep_us(index))
                schedule.note_answered(index)

        return call_on

    def echo_big_ones(call: Callable[[bytes, int], object]) -> None:
        big = b"x" * work.big_bytes
        while schedule.due_in_s(schedule.length) > 0 and not callers.stop.is_set():
            call(big, 0)

    works = [work_of(call) for call in calls]
    if work.big_bytes:
        works.append(partial(echo_big_ones, client.caller()))
    schedule.start()
    callers.run_threads(works, lambda: measure(callers, schedule, meter))
    return finish(schedule, meter)


def measure(callers: Callers, schedule: Schedule, meter: Meter) -> None:
    callers.stop.wait(schedule.due_in_s(schedule.first))
    meter.begin(schedule.first)
    callers.stop.wait(schedule.due_in_s(schedule.length))
    meter.end(schedule.length)


async def run_tasks(client: AioClient, work: FixedRate, window: Window, meter: Meter) -> Figures:
    """A task for each call. A thread keeps the time: timers of loops are a millisecond coarse."""
    payload = b"x" * work.size_bytes
    check_answer(await client.call(payload, 0), payload)
    schedule = Schedule(work, window)
    loop = asyncio.get_running_loop()
    stop = threading.Event()

    async def call(index: int) -> None:
        schedule.note_sent(index)
        await client.call(payload, schedule.sleep_us(index))
        schedule.note_answered(index)

    async with asyncio.TaskGroup() as tasks:

        def start_call(index: int) -> None:
            if index == schedule.first:
                meter.begin(index)
            tasks.create_task(call(index))

        def keep_time() -> None:
            schedule.start()
            for index in range(schedule.length):
                if (wait_s := schedule.due_in_s(index)) > 0:
                    time.sleep(wait_s)
                if stop.is_set():
                    return
                loop.call_soon_threadsafe(start_call, index)

        try:
            await asyncio.to_thread(keep_time)
        finally:
            stop.set()
        meter.end(schedule.length)
    return finish(schedule, meter)


def finish(schedule: Schedule, meter: Meter) -> Figures:
    return {**meter.figures(), **schedule.figures()}
