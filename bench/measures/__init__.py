"""The measures of the bench, each in a file of its own."""

from __future__ import annotations

from bench.measures import (
    beside,
    bulk,
    callbacks,
    chain,
    http_echo,
    http_text,
    imports,
    latency,
    observing_calls,
    observing_instructions,
    observing_pages,
    observing_scrape,
    redis,
    rtmp,
    sizes,
    start_write,
    streams,
    streams_bulk,
    streams_crowd,
    streams_ping,
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
        rtmp,
        http_echo,
        http_text,
        observing_calls,
        observing_instructions,
        observing_scrape,
        observing_pages,
        streams,
        streams_bulk,
        streams_crowd,
        streams_ping,
        imports,
    )
}

GROUPS: dict[str, list[str]] = {
    group: [name for name, measure in MEASURES.items() if group in (name, measure.group)]
    for group in dict.fromkeys(measure.group or name for name, measure in MEASURES.items())
}
"""A name that can be asked for, and the measures that it means."""
