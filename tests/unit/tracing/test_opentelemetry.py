"""OpenTelemetryExport, judged by the SDK of OpenTelemetry; skipped without it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.tracing.opentelemetry import OpenTelemetryExport, attributes_of, to_readable_span
from pybrpc.tracing.process_rpcz import Rpcz
from pybrpc.tracing.span import Span, SpanKind
from tests.fakes.spans import ended_span, new_span

sdk = pytest.importorskip("opentelemetry.sdk.trace")


def exported(*spans: Span) -> list[Any]:
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    export = OpenTelemetryExport(SimpleSpanProcessor(exporter))
    for span in spans:
        export(span)
    return list(exporter.get_finished_spans())


def test_ids_times_and_kind_are_kept() -> None:
    span = ended_span(trace_id=0xAB, trace_id_high=0xCD, span_id=0xEF, start_us=1000, latency_us=10)
    (found,) = exported(span)
    context = found.get_span_context()
    assert (context.trace_id, context.span_id) == (0xCD << 64 | 0xAB, 0xEF)
    assert (found.start_time, found.end_time) == (1_000_000, 1_010_000)
    assert (found.name, found.kind.name, found.parent) == (
        "echo.EchoService/Echo",
        "SERVER",
        None,
    )
    assert found.status.status_code.name == "UNSET"


def test_both_sides_of_a_call_and_nested_calls_are_one_tree() -> None:
    caller = ended_span(SpanKind.CLIENT, span_id=5)
    served, nested = new_span(span_id=5), new_span(SpanKind.CLIENT, span_id=6)
    served.share_id()
    served.add(nested)
    nested.end()
    served.end()
    tree = {each.get_span_context().span_id: each for each in exported(caller, served, nested)}
    assert len(tree) == 3
    root, inner = tree[5], tree[6]
    assert root.parent is None
    assert tree[inner.parent.span_id].parent.span_id == 5


def test_annotations_are_events() -> None:
    span = new_span()
    span.annotate("cache miss", 2.0)
    span.end()
    (found,) = exported(span)
    assert [(event.name, event.timestamp) for event in found.events] == [
        ("cache miss", 2_000_000_000)
    ]


def test_failed_call_has_the_name_of_its_error() -> None:
    (found,) = exported(ended_span(error_code=1008))
    assert found.status.status_code.name == "ERROR"
    assert found.attributes["error.type"] == "ERPCTIMEDOUT"
    assert found.attributes["rpc.response.status_code"] == "ERPCTIMEDOUT"


def test_attributes_follow_the_conventions() -> None:
    span = ended_span(
        SpanKind.CLIENT,
        remote_side=Endpoint("10.0.0.1", 80),
        protocol="baidu_std",
        log_id=2**64 - 1,
        request_size=3,
    )
    assert attributes_of(span) == {
        "rpc.system.name": "brpc",
        "rpc.method": "echo.EchoService/Echo",
        "rpc.response.status_code": "OK",
        "brpc.request.size": 3,
        "brpc.response.size": 0,
        "network.protocol.name": "baidu_std",
        "brpc.log_id": "18446744073709551615",
        "server.address": "10.0.0.1",
        "server.port": 80,
    }
    unix = attributes_of(ended_span(remote_side=Endpoint("unix:/a", 0)))
    assert unix["client.address"] == "unix:/a"
    assert "client.port" not in unix


def test_span_can_be_shown_as_json() -> None:
    shown = json.loads(to_readable_span(ended_span(trace_id=0xAB), sdk.Resource({})).to_json())
    assert shown["context"]["trace_id"] == "0x000000000000000000000000000000ab"


def test_spans_that_end_are_exported(rpcz: Rpcz) -> None:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    processor = BatchSpanProcessor(exporter)
    export = OpenTelemetryExport(processor)
    rpcz.on_span_end(export)
    span = rpcz.begin_client_span("a.B.C", 1.0)
    assert span is not None
    rpcz.end(span)
    assert rpcz.flush(30)
    assert processor.force_flush()
    processor.shutdown()
    assert [each.name for each in exporter.get_finished_spans()] == ["a.B/C"]
    assert repr(export) == "<OpenTelemetryExport to BatchSpanProcessor>"


def test_what_is_no_processor_is_refused() -> None:
    with pytest.raises(TypeError, match="span_processor must have on_end"):
        OpenTelemetryExport(print)  # type: ignore[arg-type]
