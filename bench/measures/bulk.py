"""One caller that moves a megabyte there and back, against what a bare socket does."""

from __future__ import annotations

from bench.measures import runs
from bench.measures.measure import Measure
from bench.work import ClosedLoop

MEASURE = Measure(
    name="bulk",
    title="Echoes of 1 MiB, one after the other",
    axis="size",
    points={"1 MiB": ClosedLoop(1, 1 << 20)},
    peers=("pybrpc", "pybrpc-tuned", "pybrpc-attachment", "grpcio", "thriftpy2", "socket"),
    run=runs.echo,
    tables=("calls_per_s", "client_cpu_us", "server_cpu_us"),
    missing=runs.missing,
)
