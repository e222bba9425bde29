"""The measures of the bench, each in a file of its own."""

from __future__ import annotations

from bench.measures import (
    beside,
    bulk,
    callbacks,
    chain,
    latency,
    redis,
    sizes,
    start_write,
    tasks,
    threads,
)
from bench.measures.measure import Measure

MEASURES: dict[str, Measure] = {
    module.MEASURE.name: module.MEASURE
    for module in (
        threads,
        sizes,
        bulk,
        beside,
        tasks,
        callbacks,
        latency,
        chain,
        start_write,
        redis,
    )
}
