"""How long small calls take while big messages travel over the same connection, or beside it.

A message of baidu_std lies in one piece on its connection: what is sent behind a big one waits
until that is through. Callers with a `connection_group` of their own don't.
"""

from __future__ import annotations

from bench.measures import runs
from bench.measures.measure import Measure
from bench.work import FixedRate

PER_S, CALLERS = 100, 8
SIZES = {"nothing": 0, "1 MiB": 1 << 20, "16 MiB": 1 << 24}

MEASURE = Measure(
    name="beside",
    title=f"Latency of {PER_S} calls/s of 32 bytes while one thread echoes big messages",
    axis="beside",
    points={
        name: FixedRate(PER_S, callers=CALLERS, big_bytes=size) for name, size in SIZES.items()
    },
    peers=("pybrpc-attachment", "pybrpc-groups", "socket"),
    run=runs.echo,
    tables=("p50_us", "p99_us", "max_us", "late_percent"),
    missing=runs.missing,
    lasts=3.0,
)
