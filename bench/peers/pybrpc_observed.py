"""pybrpc whose calls are observed less than usual, or more: no metrics, traces, many variables."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator

import pybrpc
from bench.peers.pybrpc_aio import PybrpcAio, PybrpcAioClient
from bench.peers.pybrpc_modes import SPANS_PER_S, SPANS_VARIABLE
from bench.peers.pybrpc_sync import EchoService, PybrpcClient, PybrpcSync
from pybrpc import metrics, tracing

VARIABLES = 5000
RECORDERS = 100
"""Latency recorders among these variables; each exposes eleven."""


class Uncounted(PybrpcSync):
    def prepare(self, server: pybrpc.Server) -> None:
        for entry in server._registry.entries():
            entry.times = None


class AioUncounted(PybrpcAio):
    @contextlib.asynccontextmanager
    async def client(self, port: int) -> AsyncIterator[PybrpcAioClient]:
        async with super().client(port) as client:
            await client.call(b"", 0)  # the first one finds the source of the connection
            source = client.channel._used_source
            assert source is not None
            times = source.call_times
            source.call_times = None  # type: ignore[assignment]
            try:
                yield client
            finally:
                source.call_times = times


class Traced(PybrpcSync):
    def prepare(self, server: pybrpc.Server) -> None:
        trace()


class AioTraced(PybrpcAio):
    @contextlib.asynccontextmanager
    async def client(self, port: int) -> AsyncIterator[PybrpcAioClient]:
        trace()
        async with super().client(port) as client:
            yield client


def trace() -> None:
    """Trace calls of this process from now on."""
    tracing.rpcz.max_spans_per_second = int(os.environ.get(SPANS_VARIABLE, SPANS_PER_S))
    tracing.rpcz.enabled = True


class WithVariables(PybrpcSync):
    def __init__(self) -> None:
        super().__init__(EchoService, PybrpcClient)
        self.variables: list[metrics.Variable] = []

    def prepare(self, server: pybrpc.Server) -> None:
        """Expose variables with values until there are VARIABLES, those of the server included."""
        for number in range(RECORDERS):
            recorder = metrics.LatencyRecorder(f"bench_recorder_{number}")
            for latency_us in range(1, 1000, 7):
                recorder.record(latency_us * (number + 1))
            self.variables.append(recorder)
        for number in range(VARIABLES - metrics.count_exposed()):
            counter = metrics.Counter(f"bench_counter_{number}")
            counter.add(number)
            self.variables.append(counter)


UNCOUNTED = Uncounted(EchoService, PybrpcClient)
AIO_UNCOUNTED = AioUncounted()
TRACED = Traced(EchoService, PybrpcClient)
AIO_TRACED = AioTraced()
WITH_VARIABLES = WithVariables()
