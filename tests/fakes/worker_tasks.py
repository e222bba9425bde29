"""Tasks for a WorkerPool: some start, wait and end as a test says, some leave an answer."""

from __future__ import annotations

import threading
from typing import Any, cast

from pybrpc.iobuf import IOBuf
from pybrpc.server.calls.response_batch import ResponseBatch


class Job:
    """A task that says when it started and goes on when it may."""

    def __init__(self, may_end: bool = True) -> None:
        self.started = threading.Event()
        self.may_end = threading.Event()
        self.ended = threading.Event()
        self.thread_name = ""
        if may_end:
            self.may_end.set()

    def run(self, response_batch: ResponseBatch) -> None:
        self.thread_name = threading.current_thread().name
        self.started.set()
        self.may_end.wait()
        self.ended.set()


class Answering:
    """A task that adds a response to the batch, and is its call, connection and socket."""

    def __init__(self) -> None:
        self.connection = self
        self.socket = self
        self.written = threading.Event()

    def run(self, response_batch: ResponseBatch) -> None:
        response_batch.add(cast(Any, self), IOBuf(b"answer"), now=1e12)

    def start_write(self, data: IOBuf, *, ignore_eovercrowded: bool) -> None:
        self.written.set()

    def release_limits(self, calls: list[object]) -> None: ...

    def end(self, calls: list[object]) -> None: ...


class LateAnswering(Answering):
    def run(self, response_batch: ResponseBatch) -> None:
        response_batch.put(cast(Any, self), IOBuf(b"answer"))


def blocked(count: int) -> list[Job]:
    return [Job(may_end=False) for _ in range(count)]


def release(jobs: list[Job]) -> None:
    for job in jobs:
        job.may_end.set()
    for job in jobs:
        assert job.ended.wait(10)
