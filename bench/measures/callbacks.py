"""Calls per second when each answer's callback makes the next call."""

from __future__ import annotations

from bench.measures import runs
from bench.measures.measure import Measure
from bench.work import ClosedLoop

MEASURE = Measure(
    name="callbacks",
    title="Echoes of 32 bytes with callbacks, by calls in flight; grpc.aio for comparison",
    axis="in flight",
    points={str(count): ClosedLoop(count) for count in (64, 512)},
    peers=("pybrpc-callbacks", "grpcio-futures", "grpc.aio"),
    run=runs.echo,
    tables=("calls_per_s", "client_cpu_us", "server_cpu_us", "messages_per_write"),
    missing=runs.missing,
)
