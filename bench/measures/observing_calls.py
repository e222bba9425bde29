"""Cost of what observes all calls: metrics, which are always on, and traces.

The peer without metrics still reads the clock where calls end; decision 0021 has the instructions.
"""

from __future__ import annotations

from bench.measures import runs
from bench.measures.measure import Measure
from bench.work import ClosedLoop

COUNTED, UNCOUNTED, TRACED = "pybrpc-aio", "pybrpc-aio-uncounted", "pybrpc-aio-rpcz"
POINT = "64"

MEASURE = Measure(
    name="observing-calls",
    title="Echoes of 32 bytes from asyncio tasks, with metrics, without, and with rpcz",
    axis="in flight",
    points={POINT: ClosedLoop(64)},
    peers=(COUNTED, UNCOUNTED, TRACED),
    run=runs.echo,
    tables=("server_cpu_us", "client_cpu_us", "calls_per_s"),
    missing=runs.missing,
    is_extra=True,
    group="observing",
)
