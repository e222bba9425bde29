"""Pages of a server that has nothing else to do, one request at a time.

The processor time of /metrics is also what a scrape takes from the calls of a busy server.
"""

from __future__ import annotations

import contextlib
import statistics
import time

from bench.figures import Figures
from bench.measures import runs
from bench.measures.measure import Measure
from bench.scraper import Page
from bench.site import Site
from bench.work import PageRequests, Window, Work

NAMES = ("/vars", "/metrics", "/brpc_metrics", "/status")
HTML = "/vars?console=0"


def run(site: Site, name: str, work: Work, window: Window) -> Figures:
    assert isinstance(work, PageRequests)
    server = site.server(name)
    with contextlib.closing(Page(server.port, work.path)) as page:
        get_for(page, window.warm_up_s)
        page.took_s.clear()
        before_s = server.cpu_s()
        get_for(page, window.measure_s)
        cpu_s = server.cpu_s() - before_s
    return {
        "calls": len(page.took_s),
        "page_us": statistics.median(page.took_s) * 1e6,
        "server_cpu_us": cpu_s / len(page.took_s) * 1e6,
        "page_bytes": page.size_bytes,
    }


def get_for(page: Page, seconds: float) -> None:
    """Get it once, and again until so much time has passed."""
    end = time.monotonic() + seconds
    page.get()
    while time.monotonic() < end:
        page.get()


MEASURE = Measure(
    name="observing-pages",
    title="Pages of a server with its own variables, and of one with 5,000",
    axis="page",
    points={path: PageRequests(path) for path in (*NAMES, HTML)},
    peers=("pybrpc", "pybrpc-variables"),
    run=run,
    tables=("page_us", "server_cpu_us", "page_bytes"),
    missing=runs.missing,
    is_extra=True,
    group="observing",
)
