"""Calls per second against the size of the message."""

from __future__ import annotations

from bench.measures import runs
from bench.measures.measure import Measure
from bench.work import ClosedLoop

SIZES = {"16 B": 16, "1 KiB": 1 << 10, "16 KiB": 1 << 14, "128 KiB": 1 << 17, "1 MiB": 1 << 20}
THREADS = 8

MEASURE = Measure(
    name="sizes",
    title=f"Blocking echoes from {THREADS} threads, by size",
    axis="size",
    points={name: ClosedLoop(THREADS, size) for name, size in SIZES.items()},
    peers=(
        "pybrpc",
        "pybrpc-pooled",
        "pybrpc-auto",
        "pybrpc-tuned",
        "pybrpc-attachment",
        "grpcio",
        "thriftpy2",
        "rpyc",
        "pyzmq",
        "socket",
        "brpc-cpp",
    ),
    run=runs.echo,
    tables=("calls_per_s", "client_cpu_us", "server_cpu_us"),
    missing=runs.missing,
    plots=("calls_per_s",),
)
