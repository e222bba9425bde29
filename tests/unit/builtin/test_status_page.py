"""/status: the form of C++ bRPC, and tables with plots."""

from __future__ import annotations

from pybrpc import metrics
from pybrpc.builtin.page import HTML, TEXT
from pybrpc.builtin.registry import run_page
from pybrpc.builtin.server_view import MethodView, RegistrationView, ServiceView
from tests.fakes.metrics import SteppedSampler
from tests.fakes.pages import FakeServerView, Markup, request_of

METHOD = "rpc_server_8000_conformance_echo_service_echo"


def view_of_two_methods() -> FakeServerView:
    view = FakeServerView()
    names = [f"conformance.{name}" for name in ("EchoRequest", "EchoResponse")]
    methods = [
        MethodView(name, f"conformance.EchoService.{name}", *names) for name in ("Echo", "Stream")
    ]
    view.services_shown = [ServiceView("EchoService", "conformance.EchoService", tuple(methods))]
    view.version, view.concurrency = "Svc", 0
    return view


EXPECTED = """\
version: Svc
non_service_error: 3
connection_count: 1
max_concurrency: unlimited
concurrency: 0
[conformance.EchoService]

Echo (EchoRequest) returns (EchoResponse)
count: 90
qps: 30
error: 2
eps: 0
latency: 100
latency_50: 100
latency_90: 100
latency_99: 100
latency_999: 100
latency_9999: 100
max_latency: 100
concurrency: 0


Stream (EchoRequest) returns (EchoResponse)
count: 0
qps: 0
error: 0
eps: 0
latency: 0
latency_50: 0
latency_90: 0
latency_99: 0
latency_999: 0
latency_9999: 0
max_latency: 0
concurrency: 0

"""
"""As shared/vectors/pages/status.txt, which a C++ server has sent."""


def record_calls(sampler: SteppedSampler) -> None:
    latency = metrics.LatencyRecorder(METHOD)
    metrics.Counter(f"{METHOD}_error").add(2)
    metrics.Counter("rpc_server_8000_error").add(3)
    for _ in range(3):
        for _ in range(30):
            latency.record(100)
        sampler.pass_seconds()
    sampler.pass_seconds()


def test_text_is_as_c_plus_plus_has_it(sampler: SteppedSampler) -> None:
    record_calls(sampler)
    view = view_of_two_methods()
    found = run_page(request_of("/status"), view)
    assert found.content_type == TEXT
    lines = str(found.body).splitlines(keepends=True)
    expected = EXPECTED.splitlines(keepends=True)
    changing = ("qps", "latency_", "max_latency", "latency:")
    assert len(lines) == len(expected)
    for line, wanted in zip(lines, expected, strict=True):
        if wanted.startswith(changing):
            name, _, value = line.partition(": ")
            assert (name, value.strip().isdecimal()) == (wanted.partition(": ")[0], True)
        else:
            assert line == wanted


def test_figures_are_those_of_the_recorder(sampler: SteppedSampler) -> None:
    record_calls(sampler)
    lines = str(run_page(request_of("/status"), view_of_two_methods()).body).splitlines()
    values = dict(line.split(": ") for line in lines[8:20])
    assert values["count"] == "90"
    assert values["latency"] == values["max_latency"] == "100"
    assert 96 <= int(values["latency_50"]) <= 104


def test_limits_and_urls_are_shown() -> None:
    view = FakeServerView()
    view.max_concurrency = 12
    body = str(run_page(request_of("/status"), view).body)
    assert "max_concurrency: 12\n" in body
    assert "Echo (Echo) returns (Echo) @/Echo\n" in body
    assert body.endswith("concurrency: 1\nmax_concurrency: 5\n\n")


def test_kinds_of_limits_and_rejected_requests_are_shown() -> None:
    view = FakeServerView()
    view.max_concurrency, view.limiter, view.rejected = 24, "auto", 3
    method = MethodView("Echo", "a.S.Echo", "", "", (), 7, 1, False, "<b>", 5)
    view.services_shown = [ServiceView("S", "a.S", (method,))]
    body = str(run_page(request_of("/status"), view).body)
    assert "max_concurrency: 24\nconcurrency_limiter: auto\nrejected: 3\n" in body
    assert body.endswith("max_concurrency: 7\nconcurrency_limiter: <b>\nrejected: 5\n\n")
    markup = Markup(str(run_page(request_of("/status", wants_html=True), view).body))
    assert "24 auto" in markup.text
    assert "1 of 7 <b>" in markup.text
    assert "5 rejected" in markup.values_of("title")


def test_the_generic_service_has_no_messages() -> None:
    view = FakeServerView()
    view.services_shown = [ServiceView("*", "*", (MethodView("*", "*", "", ""),))]
    assert "[*]\n\n* (bytes) returns (bytes)\n" in str(run_page(request_of("/status"), view).body)
    assert run_page(request_of("/status", wants_html=True), view).status == 200


def test_mounted_applications_are_like_methods_of_one_more_service(
    sampler: SteppedSampler,
) -> None:
    metrics.Counter("rpc_server_8000_mount_app_error").add(2)
    view = FakeServerView()
    view.mounts_shown = [MethodView("/app", "/app", "", "", concurrency=3)]
    body = str(run_page(request_of("/status"), view).body)
    section = body.partition("[mounted applications]\n\n")[2].splitlines()
    assert section[:4] == ["/app", "count: 0", "qps: 0", "error: 2"]
    assert section[-2:] == ["concurrency: 3", ""]
    markup = Markup(str(run_page(request_of("/status", wants_html=True), view).body))
    assert "mounted applications" in markup.text
    assert "rpc_server_8000_mount_app_count" in markup.values_of("data-var")


def test_html_has_the_same_figures_live(sampler: SteppedSampler) -> None:
    view = view_of_two_methods()
    run_page(request_of("/status", wants_html=True), view)
    record_calls(sampler)
    found = run_page(request_of("/status", wants_html=True), view)
    assert found.content_type == HTML
    markup = Markup(str(found.body))
    assert markup.values_of("data-live") == ["/vars/rpc_server_8000_*?console=1"]
    assert f"{METHOD}_count" in markup.values_of("data-var")
    assert f"{METHOD}_qps" in markup.values_of("data-series")
    assert "conformance.EchoService" in markup.text
    assert len([name for name, _ in markup.elements if name == "svg"]) == 4


def test_registrations_are_a_line_and_a_table() -> None:
    view = FakeServerView()
    view.registrations_shown = [RegistrationView("etcd://h/svc", "10.0.0.1:80", True)]
    text = str(run_page(request_of("/status"), view).body)
    line = "registration: registered as 10.0.0.1:80 at etcd://h/svc"
    assert f"concurrency: 1\n{line}\n[" in text
    page = Markup(str(run_page(request_of("/status", wants_html=True), view).body))
    assert "etcd://h/svc" in page.text


def test_a_server_without_services() -> None:
    view = FakeServerView()
    view.services_shown = []
    assert str(run_page(request_of("/status"), view).body).endswith("concurrency: 1\n")
    assert "No service" in str(run_page(request_of("/status", wants_html=True), view).body)


def test_a_version_of_two_lines_is_one() -> None:
    view = FakeServerView()
    view.version = "a\nerror: 0"
    assert str(run_page(request_of("/status"), view).body).startswith("version: a error: 0\n")
