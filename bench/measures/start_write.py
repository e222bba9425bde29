"""The longest time that a producer spends in `start_write` while the peer does not read."""

from __future__ import annotations

from bench import flood
from bench.measures import runs
from bench.measures.measure import Measure
from bench.work import Flood

MEASURE = Measure(
    name="start_write",
    title="Longest time in Socket.start_write while the peer reads nothing, by threads that write",
    axis="threads",
    points={str(count): Flood(count) for count in (1, 8)},
    peers=flood.BENCHED,
    run=runs.flood,
    tables=("longest_us", "refused_percent", "calls_per_s"),
    missing=lambda _: "",
)
