"""How long ordinary calls take at a fixed rate, without and with slow ones among them.

After bRPC's benchmark: 1 % of the requests are slow on purpose, and left out of the figures. What
is asked is whether they disturb the others.
"""

from __future__ import annotations

from bench.figures import Figures
from bench.measures import runs
from bench.measures.measure import Measure
from bench.site import Site
from bench.work import FixedRate, Window, Work

PER_S = 1000
WITHOUT, WITH = "none slow", "1 % slow"


def run(site: Site, name: str, work: Work, window: Window) -> Figures:
    return runs.echo(site, name, work, window.times(MEASURE.lasts))


MEASURE = Measure(
    name="latency",
    title=f"Latency at {PER_S} calls/s, from when each was due; the slow ones (5 ms) left out",
    axis="requests",
    points={WITHOUT: FixedRate(PER_S), WITH: FixedRate(PER_S, slow_share=0.01)},
    peers=("pybrpc", "pybrpc-uvloop", "grpcio", "grpc.aio", "thriftpy2"),
    run=run,
    tables=("p50_us", "p90_us", "p99_us", "p999_us", "max_us", "late_percent", "client_cpu_us"),
    missing=runs.missing,
    lasts=4.0,
)
