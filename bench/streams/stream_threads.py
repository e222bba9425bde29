"""Clients of streams that are threads."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from bench.callers import Callers
from bench.closed_loop import measure
from bench.figures import Figures
from bench.meter import Meter
from bench.streams.numbered import Numbered, StreamEndedError, WrongMessageError, check
from bench.streams.stream_peer import ECHO, SOURCE, StreamClient, SyncStream
from bench.streams.stream_tasks import Counters, latencies
from bench.work import StreamEcho, StreamPing, StreamPull, Window

Job = Callable[[SyncStream], None]


def run_echo(client: StreamClient, work: StreamEcho, window: Window, meter: Meter) -> Figures:
    """A thread that sends and one that receives, for each stream."""
    counters = [0] * work.streams
    with contextlib.ExitStack() as stack:
        jobs: list[tuple[SyncStream, Job]] = []
        for index in range(work.streams):
            stream = stack.enter_context(client.open(ECHO, b""))
            numbered = Numbered(work.size_bytes)
            jobs += [(stream, sender(numbered)), (stream, receiver(numbered, counters, index))]
        run_jobs(jobs, counters, window, meter)
    return meter.figures()


def sender(numbered: Numbered) -> Job:
    def send_on(stream: SyncStream) -> None:
        send = stream.send
        for each in numbered.to_send(stream.together):
            send(each)

    return send_on


def receiver(numbered: Numbered, counters: Counters, index: int) -> Job:
    def receive_on(stream: SyncStream) -> None:
        if stream.together:
            at = 0
            for batch in stream.messages:
                at = numbered.check(batch, at)
                counters[index] += len(batch)
        else:
            expected = numbered.to_come()
            for message in stream.messages:
                if message != next(expected):
                    raise WrongMessageError("a message is not the one that was sent")
                counters[index] += 1
        raise StreamEndedError("the stream has ended")

    return receive_on


def run_jobs(
    jobs: Sequence[tuple[SyncStream, Job]], counters: Counters, window: Window, meter: Meter
) -> None:
    """Run each in a thread, until its stream is ended here."""
    callers = Callers()

    def work_of(job: Job, stream: SyncStream) -> Callable[[], None]:
        def work() -> None:
            try:
                job(stream)
            except Exception:
                if not callers.stop.is_set():
                    raise

        return work

    def measure_and_end() -> None:
        measure(callers, counters, window, meter)
        for stream, _ in jobs:
            stream.end()

    callers.run_threads([work_of(job, stream) for stream, job in jobs], measure_and_end)


def run_pull(client: StreamClient, work: StreamPull, window: Window, meter: Meter) -> Figures:
    """A thread that takes what the server sends."""
    payload, counters = b"x" * work.size_bytes, [0]

    def pull(stream: SyncStream) -> None:
        for message in stream.messages:
            check(message, payload)
            counters[0] += 1
        raise StreamEndedError("the stream has ended")

    with client.open(SOURCE, payload) as stream:
        run_jobs([(stream, pull)], counters, window, meter)
    return meter.figures()


def run_ping(client: StreamClient, work: StreamPing, window: Window, meter: Meter) -> Figures:
    counters, times_s = [0], list[float]()

    def ping(stream: SyncStream) -> None:
        send, receive, clock = stream.send, stream.receive, time.perf_counter
        for message in Numbered(work.size_bytes).to_come():
            begun = clock()
            send(message)
            check(receive(), message)
            times_s.append(clock() - begun)
            counters[0] += 1

    with client.open(ECHO, b"") as stream:
        run_jobs([(stream, ping)], counters, window, meter)
    return {**meter.figures(), **latencies(times_s)}
