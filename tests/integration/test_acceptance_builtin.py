"""bRPC's own tests of its pages (test/brpc_builtin_service_unittest.cpp and
brpc_prometheus_metrics_unittest.cpp), in our terms, over the internal port of a server; each page
as HTML and as text. Where all of them are:

    index, version, health, customized_health, status, list, connections, flags, bad_method, vars,
        rpcz                                        here; unit/builtin, a file for each page
    threads, bthreads (as tasks), vlog (as loggers), ids, sockets, memory, pprof    here;
                                                    unit/builtin/process, unit/builtin/profiling,
                                                    test_profile_pages
    PrometheusMetrics.sanity                        here; unit/metrics/exposition
    dir                                             nothing: files are not shown

With gRPC, which is not spoken yet: normal_grpc_health, customized_grpc_health.

Ours differ in these: what changes something is a POST; a method that is not there is no page, but a
response of 404 that lists the methods, as text for browsers too; /rpcz/stats has its numbers while
rpcz is not enabled, and says so.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc import metrics
from pybrpc.base.flag_values import FLAGS
from pybrpc.tracing.process_rpcz import RPCZ
from tests.fakes.metrics import hide_all
from tests.fakes.threads import wait_until
from tests.peers.http_server import (
    PATH,
    SERVICE,
    TIMEOUT_S,
    Answer,
    EchoHandler,
    ask,
    client_of,
    connected,
    post,
)
from tests.protos import conformance_pb2 as pb

BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0"
POSTS = {"X-Pybrpc-Post": "1", "Content-Type": "application/x-www-form-urlencoded"}
FORMS = pytest.mark.parametrize("is_html", [False, True], ids=["text", "html"])


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[pybrpc.Server]:
    server = pybrpc.Server(internal_port=0, **options)
    server.add_service(SERVICE, EchoHandler(), partial=True)
    with server:
        server.start("127.0.0.1:0")
        yield server


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    flags = FLAGS._flags.copy()
    RPCZ.store.clear()
    yield
    FLAGS._flags.clear()
    FLAGS._flags.update(flags)
    RPCZ.enabled = False
    RPCZ.store.clear()
    hide_all()


def page(
    server: pybrpc.Server, target: str, is_html: bool = False, body: str | None = None
) -> Answer:
    """The answer to a GET, or to a POST if there is a body."""
    headers = {"User-Agent": BROWSER if is_html else "curl/7.88.1"}
    with client_of(server, internal=True) as client:
        if body is None:
            return ask(client, "GET", target, headers=headers)
        return ask(client, "POST", target, body, headers | POSTS)


def sound_page(
    server: pybrpc.Server, target: str, is_html: bool = False, body: str | None = None
) -> str:
    answer = page(server, target, is_html, body)
    kind = "text/html" if is_html else "text/plain"
    assert answer.headers.get_content_type() == kind
    assert answer.status == 200, answer.text
    return answer.text


@FORMS
def test_index(is_html: bool) -> None:
    with serving() as server:
        for path in ("/", "/index"):
            body = sound_page(server, path, is_html)
            for name in ("status", "vars", "connections", "flags", "rpcz", "hotspots"):
                assert f"/{name}" in body


def test_version() -> None:
    with serving(version="test_version") as server:
        assert page(server, "/version").text == "test_version"


@FORMS
def test_health(is_html: bool) -> None:
    with serving() as server:
        assert page(server, "/health", is_html).text == "OK"


def test_customized_health() -> None:
    with serving(health_reporter=lambda: "i'm ok") as server:
        with pybrpc.Channel(str(server.endpoint), protocol="http", timeout=TIMEOUT_S) as channel:
            response = channel.http("GET", "/health")
            assert (response.status, response.text()) == (200, "i'm ok")


@FORMS
def test_status(is_html: bool) -> None:
    with serving() as server:
        assert "conformance.EchoService" in sound_page(server, "/status", is_html)


def test_list() -> None:
    with serving() as server:
        (service,) = page(server, "/list").json["service"]
        assert service["name"] == "EchoService"


@FORMS
def test_threads(is_html: bool) -> None:
    gate = threading.Event()
    thread = threading.Thread(target=gate.wait, args=[TIMEOUT_S], name="sleep_thread")
    with serving() as server:
        thread.start()
        try:
            assert "sleep_thread" in sound_page(server, "/threads", is_html)
        finally:
            gate.set()
            thread.join()


@FORMS
def test_vlog(is_html: bool) -> None:
    with serving() as server:
        for path in ("/loggers", "/vlog"):
            assert "root" in sound_page(server, path, is_html)


@FORMS
def test_connections(is_html: bool) -> None:
    with serving() as server, connected(server) as sock:
        host, port = sock.getsockname()
        wait_until(lambda: server.statistics().connections >= 1)
        body = sound_page(server, "/connections", is_html)
        assert f"{host}:{port}" in body
        if not is_html:
            assert "channel_connection_count: 0\n" in body


@FORMS
def test_flags(is_html: bool) -> None:
    FLAGS.define("foo", False, "A flag of this test")
    with serving() as server:
        assert "enable_rpcz" in sound_page(server, "/flags", is_html)
        assert "false" in sound_page(server, "/flags/foo", is_html)
        assert page(server, "/flags/foo?setvalue=true", is_html).status == 405
        assert "false" in sound_page(server, "/flags/foo", is_html)
        assert page(server, "/flags/foo", is_html, "value=true").status in (200, 303)
        assert "true" in sound_page(server, "/flags/foo", is_html)


@FORMS
def test_bad_method(is_html: bool) -> None:
    with serving() as server:
        with client_of(server) as client:
            answer = ask(client, "POST", "/EchoService", headers={"User-Agent": BROWSER})
            assert (answer.status, "Echo" in answer.text) == (404, True)
            assert answer.headers.get_content_type() == "text/plain"
        answer = page(server, "/pprof/nothing", is_html)
        assert (answer.status, "growth" in answer.text) == (404, True)


@FORMS
def test_vars(is_html: bool) -> None:
    variable = metrics.Adder("myvar")
    variable.add(9)
    with serving() as server:
        body = sound_page(server, "/vars", is_html)
        assert "myvar" in body
        if not is_html:
            assert "myvar : 9\n" in body
        some = sound_page(server, "/vars/rpc_s*", is_html)
        assert ("rpc_socket_count" in some, "myvar" in some) == (True, False)


@FORMS
@pytest.mark.parametrize("is_hex", [False, True], ids=["decimal", "hex"])
def test_rpcz(is_hex: bool, is_html: bool) -> None:
    with serving() as server:
        assert "rpcz is not enabled" in sound_page(server, "/rpcz", is_html)
        assert "enabled: false" in sound_page(server, "/rpcz/stats")
        assert page(server, "/rpcz/enable", is_html).status == 405
        assert page(server, "/rpcz/enable", is_html, "").status in (200, 303)
        assert RPCZ.enabled
        form = "hex_log_id" if is_hex else "dec_log_id"
        assert page(server, f"/rpcz/{form}", is_html, "").status in (200, 303)
        with pybrpc.Channel(str(server.endpoint), timeout=TIMEOUT_S) as channel:
            stub = pybrpc.Stub(SERVICE, channel)
            controller = pybrpc.Controller(log_id=1234567890)
            stub.Echo(pb.EchoRequest(message="a" * 1500), controller=controller)
        wait_until(lambda: "EchoService.Echo" in sound_page(server, "/rpcz", is_html))
        log_id = "499602d2" if is_hex else "1234567890"
        found = sound_page(server, "/rpcz?log_id=1234567890")
        assert f"log_id={log_id} " in found
        trace = re.search(r"trace=([0-9a-f]+)", found)
        assert trace is not None
        queries = (
            "log_id=1234567890",
            f"trace={trace[1]}",
            "min_request_size=1024",
            "min_latency=1",
            "time=2999/12/31-23:59:59",
        )
        for query in queries:
            assert "EchoService.Echo" in sound_page(server, f"/rpcz?{query}", is_html), query
        for query in (
            "log_id=1",
            "min_request_size=9999",
            "min_latency=99999999",
            "time=2000/01/01-00:00:00",
        ):
            assert "EchoService.Echo" not in sound_page(server, f"/rpcz?{query}", is_html), query
        assert page(server, "/rpcz?trace=1", is_html).status == 404
        assert page(server, "/rpcz/disable", is_html, "").status in (200, 303)
        assert not RPCZ.enabled


def test_pprof() -> None:
    with serving() as server:
        assert page(server, "/pprof/profile").status == 400, "seconds are needed, as in C++"
        assert page(server, "/pprof/profile?seconds=0.1").body.startswith(b"\x1f\x8b")
        assert page(server, "/pprof/heap").status == 409, "tracemalloc does not run"
        assert "num_symbols" in page(server, "/pprof/symbol").text
        assert "python" in page(server, "/pprof/cmdline").text


@FORMS
def test_ids(is_html: bool) -> None:
    gate = threading.Event()

    def wait(request: Any, controller: pybrpc.Controller) -> Any:
        assert gate.wait(TIMEOUT_S)

    server = pybrpc.Server(internal_port=0)
    server.add_service(SERVICE, EchoHandler(wait), partial=True)
    with server:
        server.start("127.0.0.1:0")
        assert page(server, "/ids/not_valid", is_html).status == 404
        thread = threading.Thread(target=call_once, args=[server])
        thread.start()
        try:
            wait_until(lambda: server.statistics().running == 1)
            assert "conformance.EchoService.Echo" in sound_page(server, "/ids", is_html)
        finally:
            gate.set()
            thread.join()


def call_once(server: pybrpc.Server) -> None:
    with client_of(server) as client:
        assert post(client, path=PATH).status == 200


@FORMS
def test_bthreads(is_html: bool) -> None:
    with serving() as server:
        for path in ("/tasks", "/bthreads"):
            sound_page(server, path, is_html)


@FORMS
def test_sockets(is_html: bool) -> None:
    with serving() as server, connected(server) as sock:
        wait_until(lambda: server.statistics().connections >= 1)
        assert page(server, "/sockets/not_valid", is_html).status == 400
        sound_page(server, "/sockets", is_html)
        row = sound_page(server, "/connections")
        address = ":".join(map(str, sock.getsockname()))
        (line,) = (line for line in row.splitlines() if address in line)
        found = sound_page(server, f"/sockets/{line.rpartition('|')[2].strip()}", is_html)
        assert address in found


@FORMS
def test_memory(is_html: bool) -> None:
    with serving() as server:
        assert "VmRSS" in sound_page(server, "/memory", is_html)


LABELS = ["label1", "label2"]


def test_prometheus_sanity() -> None:
    """PrometheusMetrics.sanity: each HELP and TYPE comes once, in front of its values, which are
    numbers; there are gauges, summaries and counters."""
    adders = metrics.MultiDimension(metrics.Adder, LABELS, "madder")
    recorders = metrics.MultiDimension(metrics.LatencyRecorder, LABELS, "mlat")
    for values in (("val1", "val2"), ("val2", "val3")):
        adders.get_stats(*values).add(3)
        recorders.get_stats(*values).record(3)
    with serving() as server:
        call_once(server)
        for path, kinds in (
            ("/brpc_metrics", {"gauge", "summary", "counter"}),
            ("/metrics", {"gauge", "counter", "histogram"}),
        ):
            assert kinds <= check_exposition(page(server, path).text)


def check_exposition(text: str) -> set[str]:
    """The types of the families of a page."""
    seen: dict[str, str] = {}
    name = helped = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped = line.split()[2]
            assert helped not in seen, "a second HELP"
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == helped, "HELP comes first"
            assert name not in seen, "a second TYPE"
            seen[name] = kind
        else:
            sample, _, value = line.rpartition(" ")
            float(value)
            family = sample.partition("{")[0]
            assert family.startswith(name)
            assert family[len(name) :] in ("", "_sum", "_count", "_bucket", "_qps")
    return set(seen.values())
