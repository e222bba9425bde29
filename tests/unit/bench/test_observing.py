"""Observing in the bench: what is measured is observed as it says, and pages answer."""

from __future__ import annotations

import asyncio
import http.server
import queue
import threading
from collections.abc import Iterator

import pytest

from bench.bars import bars
from bench.child_process import ChildFailedError
from bench.measures.observing_scrape import more_percent
from bench.peers import ENTRIES
from bench.peers.pybrpc_modes import SPANS_VARIABLE
from bench.peers.pybrpc_observed import VARIABLES, trace
from bench.samples import Sample, Samples, Spread
from bench.scraper import Page, Scraper
from pybrpc import metrics, tracing
from pybrpc.client.calls.address_variables import ADDRESSES


class _Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"a 1\n"
        self.send_response(200 if self.path == "/metrics" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:
        """No line for each request."""


@pytest.fixture
def pages() -> Iterator[int]:
    """The port of a server that has the page /metrics alone."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_pages_are_timed(pages: int) -> None:
    page = Page(pages, "/metrics")
    page.get()
    page.get()
    page.close()
    assert len(page.took_s) == 2
    assert min(page.took_s) > 0
    assert page.size_bytes == 4


def test_page_that_is_an_error_is_refused(pages: int) -> None:
    page = Page(pages, "/vars")
    with pytest.raises(ChildFailedError, match="/vars: 404"):
        page.get()
    page.close()


def test_scrapes_are_counted(pages: int) -> None:
    with Scraper(pages, 0.01) as scraper:
        _wait_for(scraper)
    assert scraper.figures()["page_bytes"] == 4


def _wait_for(scraper: Scraper) -> None:
    while not scraper._page.took_s and scraper._thread.is_alive():
        scraper._thread.join(0.01)


def test_scraper_whose_server_is_gone_fails(pages: int) -> None:
    with pytest.raises(ChildFailedError, match="ConnectionRefusedError"):
        with Scraper(_free_port(), 0.01) as scraper:
            scraper._thread.join()


def _free_port() -> int:
    with http.server.HTTPServer(("127.0.0.1", 0), _Pages) as server:
        return server.server_address[1]


def test_run_without_a_scrape_has_no_figure(pages: int) -> None:
    with Scraper(pages, 1000) as scraper:
        pass
    with pytest.raises(ChildFailedError, match="no scrape"):
        scraper.figures()


def counted(name: str) -> tuple[str, str]:
    """The counts of the server and of the client of that peer, after three calls."""
    entry = ENTRIES[name]
    ready: queue.Queue[int] = queue.Queue()
    end = threading.Event()
    counts = []

    def serve() -> None:
        peer = ENTRIES[entry.server].load()
        peer.serve(lambda payload, sleep_us: payload, ready.put, end.wait)

    async def call(port: int) -> None:
        async with entry.load().client(port) as client:
            for _ in range(3):
                assert await client.call(b"hello", 0) == b"hello"
            names = (
                f"rpc_server_{port}_bench_echo_service_echo_count",
                f"rpc_channel_127_0_0_1_{port}_count",
            )
            counts.extend(metrics.describe_exposed(each) for each in names)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        asyncio.run(call(ready.get(timeout=10)))
    finally:
        end.set()
        thread.join()
    return tuple(counts)


def test_metrics_count_no_call_of_the_peer_without_them() -> None:
    ADDRESSES.start_anew()  # Of too many addresses no more have variables of their own.
    assert counted("pybrpc-aio") == ("3", "3")
    assert counted("pybrpc-aio-uncounted") == ("0", "1")  # the call that has found the connection


def test_traces_have_the_limit_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SPANS_VARIABLE, "20")
    before = tracing.rpcz.enabled, tracing.rpcz.max_spans_per_second
    try:
        trace()
        assert (tracing.rpcz.enabled, tracing.rpcz.max_spans_per_second) == (True, 20)
    finally:
        tracing.rpcz.enabled, tracing.rpcz.max_spans_per_second = before


def test_variables_fill_up_to_their_number() -> None:
    counts = []
    peer = ENTRIES["pybrpc-variables"].load()
    try:
        peer.serve(None, lambda port: None, lambda: counts.append(metrics.count_exposed()))
    finally:
        for variable in peer.variables:
            variable.hide()
    assert counts == [VARIABLES]
    assert metrics.count_exposed() < VARIABLES / 2


def ratio_of(name: str, over: dict[str, float], under: dict[str, float]) -> Spread | None:
    """The figure of that bar, if its two cells have had one round."""
    bar = next(bar for bar in bars(is_plain=False) if bar.name == name)
    assert bar.under is not None
    samples = Samples()
    samples += [Sample(0, bar.over, over), Sample(0, bar.under, under)]
    return bar.spread(samples)


def test_bars_compare_calls_with_those_that_nothing_observes() -> None:
    metrics_ratio = ratio_of(
        "metrics_server_instructions",
        {"server_instructions": 40_800.0},
        {"server_instructions": 40_000.0},
    )
    assert metrics_ratio == Spread(1.02, 1.02, 1.02)
    rpcz = ratio_of("rpcz_client_cpu_us", {"client_cpu_us": 12.0}, {"client_cpu_us": 10.0})
    assert rpcz == Spread(1.2, 1.2, 1.2)


def test_slices_with_scrapes_are_compared_with_their_neighbours() -> None:
    """One slice in which something else has happened does not count."""
    assert more_percent([(10.2, 10.0), (20.4, 20.0), (90.0, 10.0)]) == pytest.approx(2.0)
