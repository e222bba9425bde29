"""How long a message takes there and back over an open stream."""

from __future__ import annotations

from bench.measures import runs
from bench.measures.measure import Measure
from bench.measures.streams import GROUP
from bench.work import StreamPing

MEASURE = Measure(
    name="streams-ping",
    title="A message of 32 bytes there and back over a stream, one after the other",
    axis="streams",
    points={"1": StreamPing()},
    peers=(
        "streams-aio",
        "streams-threads",
        "streams-grpc.aio",
        "streams-websockets",
        "streams-socket",
    ),
    run=runs.echo,
    tables=("p50_us", "p99_us", "client_cpu_us", "server_cpu_us"),
    missing=runs.missing,
    group=GROUP,
)
