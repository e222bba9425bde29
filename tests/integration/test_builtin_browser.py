"""The pages in a real browser: the script runs, and nothing breaks the content policy."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import pybrpc
from pybrpc import metrics, tracing
from pybrpc.metrics.sampler import default_sampler
from tests.fakes.pages import HOSTILE, FakeServerView, Markup
from tests.peers.browser import PHONE, Browser
from tests.peers.page_server import page_server, viewed_server
from tests.peers.shop import ORDERS, Request, open_shop

pytestmark = [pytest.mark.program("chromium"), pytest.mark.slow]

LOADED_MS = 4000
"""Time of the page, not of the clock, that passes before the document is looked at."""


@pytest.fixture
def variable() -> Iterator[None]:
    number = metrics.Status(7, "a_number")
    metrics.start_series()
    default_sampler().tick()
    yield
    number.hide()
    metrics.stop_series()


def opened(url: str, folder: Path) -> tuple[str, str]:
    """The document after its scripts have run, and what the browser has complained of."""
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={folder}",
        "--enable-logging=stderr",
        f"--virtual-time-budget={LOADED_MS}",
        "--dump-dom",
        url,
    ]
    env = os.environ | {"HOME": str(folder)}
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
    complaints = [line for line in found.stderr.splitlines() if "CONSOLE" in line]
    return found.stdout, "\n".join(complaints)


@pytest.mark.usefixtures("variable")
def test_the_script_draws_plots(tmp_path: Path) -> None:
    with viewed_server() as (view, _), page_server(view) as address:
        document, complaints = opened(f"{address}/vars/a_number", tmp_path)
    markup = Markup(document)
    assert complaints == ""
    assert [found.get("class") for name, found in markup.elements if name == "button"][1:] == [
        "plain"
    ] * 4
    assert {"axis", "area", "line l0"} <= set(markup.values_of("class"))
    assert "7   max 7" in markup.text


@pytest.mark.parametrize("path", ["", "status", "vars", "flags", "rpcz"])
def test_no_page_breaks_its_own_policy(path: str, tmp_path: Path) -> None:
    with viewed_server() as (view, _), page_server(view) as address:
        document, complaints = opened(f"{address}/{path}", tmp_path)
    assert complaints == ""
    assert "</html>" in document


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Browser, str]]:
    """A browser, and the address of the internal port of a server with traces."""
    with (
        open_shop() as server,
        pybrpc.Channel(str(server.endpoint), timeout=30) as channel,
        Browser(tmp_path) as browser,
    ):
        pybrpc.Stub(ORDERS, channel).Buy(Request(item="lamp"))
        yield browser, f"http://{server.internal_endpoint}"


PAGES = [
    "index",
    "status",
    "vars",
    "vars/rpc_server_*?expand",
    "connections",
    "flags",
    "rpcz",
    "hotspots/cpu",
    "threads",
    "hotspots/heap",
    "hotspots/contention",
    "tasks",
    "memory",
    "loggers",
    "protobufs",
    "ids",
    "naming",
    "sockets",
]


def test_no_page_is_wider_than_a_phone(shop: tuple[Browser, str]) -> None:
    browser, address = shop
    widths = {}
    for path in PAGES:
        browser.open(f"{address}/{path}", PHONE)
        assert browser.evaluate("document.querySelectorAll('main h1').length") == 1
        widths[path] = browser.evaluate("[innerWidth, document.documentElement.scrollWidth]")
    assert widths == {path: [PHONE.width, PHONE.width] for path in PAGES}


def test_bars_of_a_trace_fit_on_a_phone(shop: tuple[Browser, str]) -> None:
    browser, address = shop
    span = next(s for s in tracing.rpcz.store.newest() if s.method == "shop.OrderService.Buy")
    browser.open(f"{address}/rpcz?trace={span.shown_trace_id}", PHONE)
    cells = "[...document.querySelectorAll('.trace td')]"
    rights = browser.evaluate(f"{cells}.map(each => each.getBoundingClientRect().right)")
    assert len(rights) >= 4 * 3
    assert 0 < min(rights) <= max(rights) <= PHONE.width


@pytest.mark.usefixtures("variable")
def test_hostile_names_run_nothing(tmp_path: Path) -> None:
    metrics_text = metrics.Status(HOSTILE, "a_text")
    try:
        with page_server(FakeServerView(HOSTILE)) as address:
            for path in ("status", "vars"):
                document, complaints = opened(f"{address}/{path}", tmp_path)
                assert complaints == ""
                assert Markup(document).dangers() == []
    finally:
        metrics_text.hide()
