"""Calls per second against the number of asyncio tasks that call and await."""

from __future__ import annotations

from bench.measures import runs
from bench.measures.measure import Measure
from bench.work import ClosedLoop

MEASURE = Measure(
    name="asyncio",
    title="Echoes of 32 bytes from asyncio tasks over one connection, by calls in flight",
    axis="in flight",
    points={str(count): ClosedLoop(count) for count in (1, 8, 64, 512, 1024)},
    peers=(
        "pybrpc-aio",
        "pybrpc-uvloop",
        "pybrpc-plain-aio",
        "grpc.aio",
        "pyzmq-aio",
        "protocol",
        "protocol-uvloop",
    ),
    run=runs.echo,
    tables=(
        "calls_per_s",
        "client_cpu_us",
        "server_cpu_us",
        "messages_per_write",
        "messages_per_read",
    ),
    missing=runs.missing,
    plots=("calls_per_s", "client_cpu_us"),
)
