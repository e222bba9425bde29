"""The pages of a real server with real calls; after bRPC's test/brpc_builtin_service_unittest.cpp.

Each page comes in HTML and as text, with its content type.
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial

import pytest

import pybrpc
from pybrpc.builtin.page import PageResponse
from pybrpc.builtin.registry import PAGES, run_page
from pybrpc.server.pages_view import PagesView
from tests.fakes.pages import Markup
from tests.peers.echo import ECHO, echo_request
from tests.peers.page_server import page_request, page_server, viewed_server
from tests.peers.serving import EchoService, Gate, echo, make_server, start

BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0"
TEXT_ALONE = {"health", "readiness", "list", "metrics", "brpc_metrics", "css", "js", "favicon.ico"}


@pytest.fixture
def served() -> Iterator[tuple[PagesView, pybrpc.Stub]]:
    with viewed_server() as (view, stub):
        stub.Echo(echo_request())
        yield view, stub


def page(view: PagesView, target: str, is_html: bool = False) -> PageResponse:
    return run_page(page_request(target, wants_html=is_html), view)


@pytest.mark.parametrize("is_html", [False, True])
@pytest.mark.parametrize("name", sorted(PAGES))
def test_every_page_answers(
    served: tuple[PagesView, pybrpc.Stub], name: str, is_html: bool
) -> None:
    found = page(served[0], f"/{name}", is_html)
    if name not in ("css", "js", "pprof"):
        assert found.status == 200
    if name not in TEXT_ALONE and "html" not in found.content_type:
        assert not is_html


def test_status_has_the_service(served: tuple[PagesView, pybrpc.Stub]) -> None:
    body = str(page(served[0], "/status").body)
    assert "version: search 2.4.1\n" in body
    assert "[conformance.EchoService]\n\nEcho (EchoRequest) returns (EchoResponse)\n" in body


def test_connections_list_the_address_of_the_peer(served: tuple[PagesView, pybrpc.Stub]) -> None:
    view, _ = served
    (accepted,) = view.connections(2)
    for is_html in (False, True):
        assert accepted.remote_side in str(page(view, "/connections", is_html).body)


def test_a_connection_is_a_socket(served: tuple[PagesView, pybrpc.Stub]) -> None:
    view, _ = served
    (accepted,) = view.connections(2)
    body = str(page(view, f"/sockets/{accepted.socket_id}").body)
    assert f"remote_side: {accepted.remote_side}\n" in body
    assert "protocol: baidu_std\n" in body


def test_over_http_curl_gets_text_and_a_browser_html(
    served: tuple[PagesView, pybrpc.Stub],
) -> None:
    with page_server(served[0]) as address:
        for agent, kind in (("curl/7.88.1", "text/plain"), (BROWSER, "text/html")):
            for name in ("", "status", "vars", "connections", "flags", "rpcz", "ids"):
                headers = {"User-Agent": agent, "Accept": "*/*"}
                request = urllib.request.Request(f"{address}/{name}", headers=headers)
                with urllib.request.urlopen(request, timeout=30) as answer:
                    assert answer.headers.get_content_type() == kind
                    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{address}/nothing", timeout=30)
        caught.value.close()
        assert caught.value.code == 404


def test_a_full_server_that_stops_still_shows_its_pages() -> None:
    gate = Gate()
    with pybrpc.Server(max_concurrency=1) as server:
        server.add_service(ECHO, EchoService(gate))
        endpoint = server.start("127.0.0.1:0")
        assert server._run is not None
        view = PagesView(server._run)
        with pybrpc.Channel(str(endpoint), timeout=60) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            thread = threading.Thread(target=partial(stub.Echo, echo_request()))
            thread.start()
            try:
                gate.wait_entered()
                server.stop(grace=60)
                assert "concurrency: 1\n" in str(page(view, "/status").body)
                assert "method=conformance.EchoService.Echo" in str(page(view, "/ids").body)
                assert page(view, "/readiness").status == 503
                assert page(view, "/health").status == 200
                assert "stopping" in Markup(str(page(view, "/status", True).body)).text
            finally:
                gate.open()
                thread.join()


def test_pages_are_not_requests(served: tuple[PagesView, pybrpc.Stub]) -> None:
    view, _ = served
    before = view.counters()
    for name in sorted(PAGES):
        if name not in ("hotspots", "pprof"):
            page(view, f"/{name}")
    assert view.counters() == before


def test_pages_over_http_are_not_requests_either() -> None:
    """Else the plots themselves would make most of the requests that /status shows."""
    with make_server(echo) as server:
        address = str(start(server))
        for _ in range(3):
            for name in ("status", "vars", "health", "vars/pid"):
                urllib.request.urlopen(f"http://{address}/{name}", timeout=30).close()
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://{address}/rpcz", timeout=30)
        caught.value.close()
        statistics = server.statistics()
    assert (statistics.requests, statistics.errors) == (0, 0)
