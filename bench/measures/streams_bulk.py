"""A server that sends megabytes over a stream, against what a bare socket does."""

from __future__ import annotations

from bench.measures import runs
from bench.measures.measure import Measure
from bench.measures.streams import GROUP
from bench.work import StreamPull

MEASURE = Measure(
    name="streams-bulk",
    title="Messages of 1 MiB from the server, without an echo (a message is a call)",
    axis="size",
    points={"1 MiB": StreamPull(1 << 20)},
    peers=(
        "streams-aio",
        "streams-threads",
        "streams-grpc.aio",
        "streams-websockets",
        "streams-socket",
    ),
    run=runs.echo,
    tables=("calls_per_s", "client_cpu_us", "server_cpu_us"),
    missing=runs.missing,
    group=GROUP,
)
