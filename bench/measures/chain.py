"""Two servers in a row: the first one calls the second for each request."""

from __future__ import annotations

from bench.measures import runs
from bench.measures.measure import Measure
from bench.work import ClosedLoop

MEASURE = Measure(
    name="chain",
    title="Echoes of 32 bytes through two servers in a row, by calls in flight",
    axis="in flight",
    points={str(count): ClosedLoop(count) for count in (8, 64)},
    peers=("pybrpc", "pybrpc-aio", "pybrpc-uvloop", "grpcio", "grpc.aio", "protocol-uvloop"),
    run=runs.chain,
    tables=("calls_per_s", "client_cpu_us", "server_cpu_us"),
    missing=runs.missing,
)
