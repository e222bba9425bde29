"""Whether one reader that is slow costs the other streams of its connection anything."""

from __future__ import annotations

from bench.figures import Figures
from bench.measures import runs
from bench.measures.measure import Measure
from bench.measures.streams import GROUP
from bench.site import Site
from bench.work import StreamCrowd, Window, Work

STREAMS = 1000
WITHOUT, WITH = "none slow", "1 more, slow"


def run(site: Site, name: str, work: Work, window: Window) -> Figures:
    """The window of the slow one fills up before the measurement."""
    return runs.echo(site, name, work, window.times(MEASURE.lasts).with_warm_up())


MEASURE = Measure(
    name="streams-crowd",
    title=f"Echoes of 32 bytes over {STREAMS - 1} streams of one connection, 8 in flight on each",
    axis="readers",
    points={
        WITHOUT: StreamCrowd(STREAMS - 1, has_slow_reader=False),
        WITH: StreamCrowd(STREAMS - 1, has_slow_reader=True),
    },
    peers=("streams-aio",),
    run=run,
    tables=("calls_per_s", "client_cpu_us", "server_cpu_us"),
    missing=runs.missing,
    lasts=2.0,
    group=GROUP,
)
