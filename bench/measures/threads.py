"""Calls per second against the number of threads that call and wait."""

from __future__ import annotations

from bench.measures import runs
from bench.measures.measure import Measure
from bench.work import ClosedLoop

MEASURE = Measure(
    name="threads",
    title="Blocking echoes of 32 bytes, by the number of threads",
    axis="threads",
    points={str(count): ClosedLoop(count) for count in (1, 8, 16, 64, 256)},
    peers=(
        "pybrpc",
        "pybrpc-pooled",
        "pybrpc-auto",
        "socket-to-pybrpc",
        "grpcio",
        "thriftpy2",
        "rpyc",
        "pyzmq",
        "socket",
        "brpc-cpp",
        "brpc-cpp-bthreads",
        "pybrpc-to-cpp",
        "cpp-to-pybrpc",
    ),
    run=runs.echo,
    tables=("calls_per_s", "client_cpu_us", "server_cpu_us"),
    missing=runs.missing,
    plots=("calls_per_s",),
)
