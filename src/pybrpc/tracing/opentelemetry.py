"""OpenTelemetryExport: gives the spans of bRPC to a span processor of OpenTelemetry.

Needs the extra `opentelemetry`. The ids are kept, so that spans of several processes, some of which
may be instrumented otherwise, are one trace. In bRPC both sides of a call share one span id; there
each has its own, and the server's has the client's for its parent (see `Span.unique_id`).

Attributes follow the semantic conventions for RPC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybrpc.errors import error_name
from pybrpc.tracing.span import Span

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

SYSTEM = "brpc"
"""Value of rpc.system.name."""

__all__ = ["OpenTelemetryExport"]

Attributes = dict[str, str | int]


class OpenTelemetryExport:
    """A function for `tracing.on_span_end`.

        export = OpenTelemetryExport(BatchSpanProcessor(OTLPSpanExporter()))
        tracing.on_span_end(export)

    `span_processor`: its `on_end` gets each span, in the thread of `on_span_end`. `resource`: says
    which process this is; `None`: `Resource.create()`, which reads OTEL_SERVICE_NAME. ImportError
    without opentelemetry-sdk.
    """

    def __init__(self, span_processor: SpanProcessor, resource: Resource | None = None) -> None:
        try:
            from opentelemetry.sdk.resources import Resource
        except ImportError as error:
            raise ImportError(
                "OpenTelemetryExport needs opentelemetry-sdk: pip install pybrpc[opentelemetry]"
            ) from error
        if not callable(getattr(span_processor, "on_end", None)):
            name = type(span_processor).__name__
            raise TypeError(
                f"span_processor must have on_end, as BatchSpanProcessor(exporter), not a {name}"
            )
        self._processor = span_processor
        self._resource = Resource.create() if resource is None else resource

    def __call__(self, span: Span) -> None:
        """Give one span to the processor."""
        self._processor.on_end(to_readable_span(span, self._resource))

    def __repr__(self) -> str:
        return f"<OpenTelemetryExport to {type(self._processor).__name__}>"


def to_readable_span(span: Span, resource: Any = None) -> ReadableSpan:
    """A span that has ended, as one of OpenTelemetry."""
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
    from opentelemetry.trace.status import Status, StatusCode

    trace_id = (span.trace_id_high << 64) | span.trace_id
    flags = TraceFlags(TraceFlags.SAMPLED)
    parent = None
    if span.unique_parent_id:
        parent = SpanContext(trace_id, span.unique_parent_id, span.is_server, flags)
    status = Status(StatusCode.UNSET)
    if span.error_code:
        status = Status(StatusCode.ERROR, error_name(span.error_code))
    return ReadableSpan(
        name=method_name(span),
        context=SpanContext(trace_id, span.unique_id, False, flags),
        parent=parent,
        resource=resource,
        attributes=attributes_of(span),
        events=[Event(note.text, timestamp=note.time_us * 1000) for note in span.annotations],
        kind=SpanKind.SERVER if span.is_server else SpanKind.CLIENT,
        status=status,
        start_time=span.start_us * 1000,
        end_time=span.end_us * 1000,
        instrumentation_scope=InstrumentationScope("pybrpc"),
    )


def method_name(span: Span) -> str:
    """The method as the conventions write it: package.Service/Method."""
    service, dot, method = span.method.rpartition(".")
    return f"{service}/{method}" if dot else method


def attributes_of(span: Span) -> Attributes:
    """The fields of a span under the names of the conventions, and others under `brpc.`."""
    attributes: Attributes = {
        "rpc.system.name": SYSTEM,
        "rpc.method": method_name(span),
        "rpc.response.status_code": error_name(span.error_code) if span.error_code else "OK",
        "brpc.request.size": span.request_size,
        "brpc.response.size": span.response_size,
    }
    if span.error_code:
        attributes["error.type"] = error_name(span.error_code)
    if span.protocol:
        attributes["network.protocol.name"] = span.protocol
    if span.log_id is not None:
        attributes["brpc.log_id"] = str(span.log_id)
    peer = span.remote_side
    if peer is not None:
        side = "client" if span.is_server else "server"
        attributes[f"{side}.address"] = peer.host
        if peer.has_port:
            attributes[f"{side}.port"] = peer.port
    return attributes


def __dir__() -> list[str]:
    return __all__
