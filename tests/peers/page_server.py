"""A server of bRPC with calls in it, whose pages an http.server of the standard library shows.

python -m tests.peers.page_server 8080     until it is interrupted
"""

from __future__ import annotations

import contextlib
import http.server
import math
import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pybrpc
from pybrpc import metrics, tracing
from pybrpc.builtin.page import PageRequest, wants_html
from pybrpc.builtin.registry import run_page
from pybrpc.builtin.server_view import ServerView
from pybrpc.metrics.names import to_underscored_name
from pybrpc.protocols.http1 import HttpHeaders, QueryMap
from pybrpc.server.pages_view import PagesView
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb


class EchoService:
    """Fails if it is asked to; asks another method if the request says so."""

    nested: pybrpc.Stub | None = None

    def Echo(self, request: Any, controller: Any) -> Any:
        if request.message == "fail":
            controller.set_failed(2001, "as asked")
        if request.message == "nested" and self.nested is not None:
            tracing.annotate("cache miss")
            return self.nested.Stream(pb.EchoRequest(message="inner"))
        return pb.EchoResponse(message=request.message)

    async def Stream(self, request: Any, controller: Any) -> Any:
        return pb.EchoResponse(message=request.message)


@contextlib.contextmanager
def viewed_server(**view: Any) -> Iterator[tuple[PagesView, pybrpc.Stub]]:
    """A server that runs, as its pages see it, and a stub to call it."""
    with pybrpc.Server(max_concurrency=100) as server:
        service = EchoService()
        server.add_service(ECHO, service)
        endpoint = server.start("127.0.0.1:0")
        run = server._run
        assert run is not None
        with pybrpc.Channel(str(endpoint), timeout=30) as channel:
            service.nested = stub = pybrpc.Stub(ECHO, channel)
            yield PagesView(run, version="search 2.4.1", **view), stub


def page_request(target: str, method: str = "GET", **fields: Any) -> PageRequest:
    """The request for "/vars/a?series" of a client that may use internal pages."""
    url = urlsplit(target)
    name, _, path = url.path.strip("/").partition("/")
    values: dict[str, Any] = {"query": QueryMap(url.query), "is_internal": True}
    return PageRequest(method, name, path, **(values | fields))


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    view: ServerView

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        headers = HttpHeaders(self.headers.items())
        request = page_request(self.path, self.command, headers=headers, body=body)
        html = wants_html(request.query, headers)
        request = page_request(self.path, self.command, headers=headers, body=body, wants_html=html)
        response = run_page(request, self.view)
        data = response.body_bytes()
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *values: Any) -> None:
        """No line for each request."""


@contextlib.contextmanager
def page_server(view: ServerView, port: int = 0) -> Iterator[str]:
    """Shows the pages of `view`; gives the address, "http://127.0.0.1:8080"."""
    handler = type("Handler", (_Handler,), {"view": view})
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="page_server")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class MethodVariables:
    """The variables of a method, as a server exposes them, for the calls that are recorded."""

    def __init__(self, view: PagesView, full_name: str) -> None:
        stem = f"{view.metric_prefix}_{to_underscored_name(full_name)}"
        self._latency = metrics.LatencyRecorder(stem)
        self._errors = metrics.Counter(f"{stem}_error")
        self._eps = metrics.PerSecond(self._errors, name=f"{stem}_eps")

    def record(self, latency_us: int, is_error: bool = False) -> None:
        """A call has ended."""
        if is_error:
            self._errors.add()
        else:
            self._latency.record(latency_us)

    def hide(self) -> None:
        """Remove them."""
        self._latency.hide()
        self._errors.hide()
        self._eps.hide()


def main(port: int) -> None:
    """Show pages with some traffic until Ctrl-C."""
    metrics.expose_process_variables()
    tracing.rpcz.enabled = True
    with viewed_server() as (view, stub), page_server(view, port) as address:
        echo = MethodVariables(view, "conformance.EchoService.Echo")
        stream = MethodVariables(view, "conformance.EchoService.Stream")
        print(address, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            _make_calls(stub, echo, stream)


def _make_calls(stub: pybrpc.Stub, *variables: MethodVariables) -> None:
    for number in range(1 << 30):
        for _ in range(3 + int(2 * math.sin(number / 200))):
            began = time.perf_counter()
            is_error = random.random() < 0.01
            message = "fail" if is_error else random.choice(("hello", "nested"))
            with contextlib.suppress(pybrpc.RpcError):
                stub.Echo(pb.EchoRequest(message=message))
            elapsed = int((time.perf_counter() - began) * 1e6)
            for each in variables:
                each.record(elapsed, is_error)
        time.sleep(0.02)


if __name__ == "__main__":
    main(int(sys.argv[1]))
