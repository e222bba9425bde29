"""Messages per second of streams that send all the time, against the number of streams."""

from __future__ import annotations

from bench.figures import Figures
from bench.measures import runs
from bench.measures.measure import Measure
from bench.site import Site
from bench.work import StreamEcho, Window, Work

GROUP = "streams"
PYBRPC = ("streams-aio", "streams-aio-lists", "streams-threads", "streams-threads-lists")


def run(site: Site, name: str, work: Work, window: Window) -> Figures:
    """The windows fill up before the measurement."""
    return runs.echo(site, name, work, window.times(MEASURE.lasts).with_warm_up())


MEASURE = Measure(
    name="streams-echo",
    title="Messages of 32 bytes, sent all the time and echoed, by streams (a message is a call)",
    axis="streams",
    points={str(count): StreamEcho(count) for count in (1, 64)},
    peers=(*PYBRPC, "streams-grpc.aio", "streams-websockets", "streams-brpc-cpp"),
    run=run,
    tables=(
        "calls_per_s",
        "client_cpu_us",
        "server_cpu_us",
        "messages_per_write",
        "messages_per_read",
    ),
    missing=runs.missing,
    lasts=2.0,
    group=GROUP,
)
