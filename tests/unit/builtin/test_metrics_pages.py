"""/metrics and /brpc_metrics."""

from __future__ import annotations

from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pybrpc import metrics
from pybrpc.builtin.registry import run_page
from pybrpc.protocols.http1 import HttpHeaders
from tests.fakes.metrics import SteppedSampler
from tests.fakes.pages import FakeServerView, request_of


@pytest.fixture(autouse=True)
def _variables(sampler: SteppedSampler) -> None:
    recorder = metrics.LatencyRecorder("rpc_server_8000_pkg_search_find")
    metrics.Counter("errors_seen").add(3)
    sampler.pass_seconds()
    recorder.record(500)
    sampler.pass_seconds()


@pytest.mark.parametrize("name", ["metrics", "brpc_metrics"])
@pytest.mark.parametrize("is_html", [False, True])
def test_each_help_and_type_comes_once_and_values_are_numbers(name: str, is_html: bool) -> None:
    found = run_page(request_of(f"/{name}", wants_html=is_html), FakeServerView())
    assert found.content_type.startswith("text/plain")
    lines = str(found.body).splitlines()
    heads = Counter(" ".join(line.split()[:3]) for line in lines if line.startswith("#"))
    assert set(heads.values()) == {1}
    values = [float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")]
    assert len(values) > 5


def test_prometheus_reads_it() -> None:
    body = str(run_page(request_of("/metrics"), FakeServerView()).body)
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert families["errors_seen"].samples[0].value == 3
    assert families["rpc_server_8000_pkg_search_find_latency_seconds"].type == "histogram"


def test_openmetrics_is_sent_if_asked() -> None:
    headers = HttpHeaders({"Accept": "application/openmetrics-text; version=1.0.0"})
    found = run_page(request_of("/metrics", headers=headers), FakeServerView())
    assert found.content_type.startswith("application/openmetrics-text")
    assert str(found.body).endswith("# EOF\n")


def test_c_plus_plus_has_a_summary() -> None:
    body = str(run_page(request_of("/brpc_metrics"), FakeServerView()).body)
    assert "# TYPE rpc_server_8000_pkg_search_find summary\n" in body
    assert "rpc_server_8000_pkg_search_find_count 1\n" in body
