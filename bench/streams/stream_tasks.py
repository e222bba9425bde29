"""Clients of streams that are tasks of one asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Sequence

from bench.figures import Figures
from bench.meter import Meter
from bench.schedule import percentile
from bench.streams.numbered import Numbered, StreamEndedError, WrongMessageError, check
from bench.streams.stream_peer import ECHO, SOURCE, TOGETHER, AioStream, AioStreamClient
from bench.work import (
    SLOW_PAUSE_S,
    StreamCrowd,
    StreamEcho,
    StreamPing,
    StreamPull,
    Window,
)

Counters = list[int]


async def run_echo(
    client: AioStreamClient, work: StreamEcho, window: Window, meter: Meter
) -> Figures:
    """A task that sends and one that receives, for each stream."""
    counters = [0] * work.streams
    async with opened(client, work.streams) as streams:
        tasks: list[Coroutine[object, object, None]] = []
        for index, stream in enumerate(streams):
            numbered = Numbered(work.size_bytes)
            tasks += [send_on(stream, numbered), receive_on(stream, numbered, counters, index)]
        await measure(tasks, counters, window, meter)
    return meter.figures()


@contextlib.asynccontextmanager
async def opened(client: AioStreamClient, count: int) -> AsyncIterator[list[AioStream]]:
    """Streams that echo."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(client.open(ECHO, b"")) for _ in range(count)]


async def send_on(stream: AioStream, numbered: Numbered) -> None:
    """In a library whose `send` waits for nothing as long as there is room, other tasks would not
    run: so they have their turn after TOGETHER messages."""
    send = stream.send
    to_send = numbered.to_send(stream.together)
    while True:
        for _ in range(1 if stream.together else TOGETHER):
            await send(next(to_send))
        await asyncio.sleep(0)


async def receive_on(stream: AioStream, numbered: Numbered, counters: Counters, index: int) -> None:
    if stream.together:
        at = 0
        async for batch in stream.messages:
            at = numbered.check(batch, at)
            counters[index] += len(batch)
    else:
        expected = numbered.to_come()
        async for message in stream.messages:
            if message != next(expected):
                raise WrongMessageError("a message is not the one that was sent")
            counters[index] += 1
    raise StreamEndedError("the server has ended the stream")


async def measure(
    work: Sequence[Coroutine[object, object, None]],
    counters: Counters,
    window: Window,
    meter: Meter,
) -> None:
    """Run tasks that don't end, and count."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        await asyncio.sleep(window.warm_up_s)
        meter.begin(sum(counters))
        await asyncio.sleep(window.measure_s)
        meter.end(sum(counters))
        for task in tasks:
            task.cancel()


async def run_pull(
    client: AioStreamClient, work: StreamPull, window: Window, meter: Meter
) -> Figures:
    """A task that takes what the server sends."""
    payload, counters = b"x" * work.size_bytes, [0]

    async def pull(stream: AioStream) -> None:
        async for message in stream.messages:
            check(message, payload)
            counters[0] += 1
        raise StreamEndedError("the server has ended the stream")

    async with client.open(SOURCE, payload) as stream:
        await measure([pull(stream)], counters, window, meter)
    return meter.figures()


async def run_ping(
    client: AioStreamClient, work: StreamPing, window: Window, meter: Meter
) -> Figures:
    counters, times_s = [0], list[float]()

    async def ping(stream: AioStream) -> None:
        send, receive, clock = stream.send, stream.receive, time.perf_counter
        for message in Numbered(work.size_bytes).to_come():
            begun = clock()
            await send(message)
            check(await receive(), message)
            times_s.append(clock() - begun)
            counters[0] += 1

    async with client.open(ECHO, b"") as stream:
        await measure([ping(stream)], counters, window, meter)
    return {**meter.figures(), **latencies(times_s)}


def latencies(times_s: list[float]) -> Figures:
    """The warm-up is among them."""
    found = sorted(times_s)
    return {"p50_us": percentile(found, 0.5) * 1e6, "p99_us": percentile(found, 0.99) * 1e6}


async def run_crowd(
    client: AioStreamClient, work: StreamCrowd, window: Window, meter: Meter
) -> Figures:
    """A task for each stream that echoes, and one that is slow."""
    counters = [0] * work.streams
    async with opened(client, work.streams) as streams, contextlib.AsyncExitStack() as stack:
        tasks = [
            few_at_a_time(stream, Numbered(work.size_bytes), work.together, counters, index)
            for index, stream in enumerate(streams)
        ]
        if work.has_slow_reader:
            payload = b"x" * work.slow_bytes
            slow = await stack.enter_async_context(client.open(SOURCE, payload))
            tasks.append(read_slowly(slow, payload))
        await measure(tasks, counters, window, meter)
    return meter.figures()


async def few_at_a_time(
    stream: AioStream, numbered: Numbered, together: int, counters: Counters, index: int
) -> None:
    send, receive = stream.send, stream.receive
    to_send, to_come = numbered.to_send(0), numbered.to_come()
    while True:
        for _ in range(together):
            await send(next(to_send))
        for _ in range(together):
            check(await receive(), next(to_come))
            counters[index] += 1


async def read_slowly(stream: AioStream, payload: bytes) -> None:
    while True:
        check(await stream.receive(), payload)
        await asyncio.sleep(SLOW_PAUSE_S)
