"""Full load beside a Prometheus that asks the same port for /metrics.

The processor time of the server is the figure that counts. The scraper runs in the process of the
bench, and so takes some calls a second from all three on a machine with few processors.
"""

from __future__ import annotations

from bench.figures import Figures
from bench.measures import runs
from bench.measures.measure import Measure
from bench.peers import ENTRIES
from bench.scraper import Scraper
from bench.site import Site
from bench.work import ClosedLoop, ScrapedLoop, Window, Work

NONE, EACH_SECOND, USUAL = "none", "each second", "each 15 s"
WINDOW_S = 15.0
"""How long each is measured: one scrape with the interval that Prometheus has by default."""


def run(site: Site, name: str, work: Work, window: Window) -> Figures:
    return run_for(site, name, work, Window(window.warm_up_s, WINDOW_S))


def run_for(site: Site, name: str, work: Work, window: Window) -> Figures:
    """As `run`, for another time than WINDOW_S."""
    assert isinstance(work, ScrapedLoop)
    loop = ClosedLoop(work.in_flight)
    if not work.every_s:
        return runs.echo(site, name, loop, window)
    port = site.server(ENTRIES[name].server or name).port
    with Scraper(port, work.every_s) as scraper:
        figures = runs.echo(site, name, loop, window)
    return {**figures, **scraper.figures()}


MEASURE = Measure(
    name="observing-scrape",
    title=f"Echoes of 32 bytes for {WINDOW_S:g} s, beside scrapes of /metrics",
    axis="scrapes",
    points={NONE: ScrapedLoop(0), EACH_SECOND: ScrapedLoop(1), USUAL: ScrapedLoop(15)},
    peers=("pybrpc-aio", "pybrpc-aio-variables"),
    run=run,
    tables=("server_cpu_us", "calls_per_s", "page_us", "page_bytes"),
    missing=runs.missing,
    lasts=20.0,
    is_extra=True,
    group="observing",
)
