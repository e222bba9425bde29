"""Calls for a WorkerPool: some start, wait and end as a test says, some leave an answer."""

from __future__ import annotations

import threading
from typing import Any, cast

from pybrpc.errors import RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.server.calls.response_batch import ResponseBatch


class JobInvoker:
    """An Invoker of Jobs and their like."""

    def run(self, call: Any, response_batch: ResponseBatch, thread: object = None) -> None:
        call.run(response_batch)

    def refuse(self, call: Any, error: RpcError) -> None:
        call.refused = error

    def end_expired(self, calls: list[Any], now: float) -> None:
        for call in calls:
            call.ended.set()


class Job:
    """A call that says when it started and goes on when it may."""

    mean_s = 0.00001
    refused: RpcError | None = None
    is_expired = False

    def __init__(self, may_end: bool = True) -> None:
        self.entry = self
        self.started = threading.Event()
        self.may_end = threading.Event()
        self.ended = threading.Event()
        self.thread_name = ""
        if may_end:
            self.may_end.set()

    def has_expired(self, now: float) -> bool:
        return self.is_expired

    def run(self, response_batch: ResponseBatch) -> None:
        self.thread_name = threading.current_thread().name
        self.started.set()
        self.may_end.wait()
        self.ended.set()


class Answering:
    """A call that adds a response to the batch, and is its own connection."""

    mean_s = 0.00001

    def __init__(self) -> None:
        self.entry = self
        self.connection = self
        self.written = threading.Event()

    def has_expired(self, now: float) -> bool:
        return False

    def run(self, response_batch: ResponseBatch) -> None:
        response_batch.add(cast(Any, self), IOBuf(b"answer"), now=1e12)

    def end(self, calls: list[object], data: IOBuf | None = None) -> None:
        self.written.set()


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
