"""Full load beside a Prometheus that asks the same port for /metrics once a second.

One run is cut into slices, with scrapes and without in turns, and each slice is compared with its
neighbour: what else happens on the machine changes the cost of a call more than a scrape does, but
seldom from one slice to the next. A scrape each 15 s, as Prometheus does it by default, costs a
fifteenth.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench import process_time
from bench.child_process import ChildFailedError
from bench.figures import Figures
from bench.measures import runs
from bench.measures.measure import Measure
from bench.peers import ENTRIES
from bench.process_time import cpu_s_of
from bench.scraper import Page, Scraper
from bench.site import Site
from bench.work import ClosedLoop, ScrapedLoop, Window, Work

COUNT_PATH = "/vars/rpc_server_{port}_bench_echo_service_echo_count"
SETTLED_S = 1.0
STEP_S = 0.05
START_LIMIT_S = 30.0
SLOWER, END_S = 1.25, 3.0
"""How much longer than all slices the client calls: a busy machine may make them longer."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Calls and the processor time of the server in a part of a run."""

    calls_per_s: float
    cpu_us: float
    """For each call."""


def missing(name: str) -> str:
    """Why the entry of that name can't take part, or ""."""
    return runs.missing(name) or process_time.missing()


def run(site: Site, name: str, work: Work, window: Window) -> Figures:
    assert isinstance(work, ScrapedLoop)
    server = site.server(ENTRIES[name].server or name)
    port = server.port  # it listens before the client has a thread
    length_s = SLOWER * 2 * work.pairs * work.slice_s + SETTLED_S + END_S
    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(
            runs.echo, site, name, ClosedLoop(work.in_flight), Window(SETTLED_S, length_s)
        )
        try:
            found = slices_of(port, server.process.pid, work)
        finally:
            figures = calling.result()
    return {"calls": figures["calls"], **found}


def slices_of(port: int, pid: int, work: ScrapedLoop) -> Figures:
    """The difference that scrapes make, the median of all pairs of slices."""
    with contextlib.closing(Page(port, COUNT_PATH.format(port=port))) as counter:
        wait_for_calls(counter)
        time.sleep(SETTLED_S)
        pairs, scraped = [], []
        for _ in range(work.pairs):
            without = slice_of(counter, pid, work.slice_s)
            with Scraper(port, work.every_s) as scraper:
                pairs.append((slice_of(counter, pid, work.slice_s), without))
            scraped.append(scraper.figures())
    return {
        "more_cpu_percent": more_percent([(one.cpu_us, other.cpu_us) for one, other in pairs]),
        "fewer_calls_percent": -more_percent(
            [(one.calls_per_s, other.calls_per_s) for one, other in pairs]
        ),
        **{name: statistics.median(each[name] for each in scraped) for name in scraped[0]},
    }


def wait_for_calls(counter: Page) -> None:
    """ChildFailedError if the client makes no calls."""
    first = calls_of(counter)
    for _ in range(round(START_LIMIT_S / STEP_S)):
        time.sleep(STEP_S)
        if calls_of(counter) > first:
            return
    raise ChildFailedError("the client makes no calls")


def calls_of(counter: Page) -> int:
    return int(counter.get().rpartition(b":")[2])


def slice_of(counter: Page, pid: int, seconds: float) -> Slice:
    """ChildFailedError if the calls have ended."""
    calls, cpu_s, began = calls_of(counter), cpu_s_of(pid), time.perf_counter()
    time.sleep(seconds)
    calls, cpu_s = calls_of(counter) - calls, cpu_s_of(pid) - cpu_s
    if not calls:
        raise ChildFailedError("the client has ended before the last slice")
    return Slice(calls / (time.perf_counter() - began), cpu_s / calls * 1e6)


def more_percent(pairs: Sequence[tuple[float, float]]) -> float:
    """By how many percent the first of a pair is more than the second, in the median."""
    return (statistics.median(one / other for one, other in pairs) - 1) * 100


MEASURE = Measure(
    name="observing-scrape",
    title="Echoes of 32 bytes, 64 in flight: the cost of scrapes of /metrics",
    axis="scrapes",
    points={"each second": ScrapedLoop()},
    peers=("pybrpc-aio", "pybrpc-aio-variables"),
    run=run,
    tables=("more_cpu_percent", "fewer_calls_percent", "page_us", "page_bytes"),
    missing=missing,
    lasts=80.0,
    is_extra=True,
    group="observing",
)
