"""/metrics for Prometheus, and /brpc_metrics in the form of C++ bRPC."""

from __future__ import annotations

from pybrpc.builtin.page import Access, PageEntry, PageRequest, PageResponse
from pybrpc.builtin.server_view import ServerView
from pybrpc.metrics.exposition.brpc_metrics import BRPC_METRICS_TYPE, to_brpc_metrics
from pybrpc.metrics.exposition.prometheus import expose
from pybrpc.metrics.snapshot import take_snapshot


def show_metrics(request: PageRequest, server: ServerView) -> PageResponse:
    """All numbers, in the format that the Accept header asks for."""
    exposition = expose(take_snapshot(), request.headers.get("accept", ""))
    return PageResponse(exposition.body, exposition.content_type)


def show_brpc_metrics(request: PageRequest, server: ServerView) -> PageResponse:
    """All numbers as gauges under bRPC's names."""
    return PageResponse(to_brpc_metrics(), BRPC_METRICS_TYPE)


ENTRIES = (
    PageEntry("metrics", show_metrics, "Metrics for Prometheus and OpenMetrics", Access.PUBLIC),
    PageEntry(
        "brpc_metrics",
        show_brpc_metrics,
        "Metrics for Prometheus under the names of C++ bRPC",
        Access.PUBLIC,
    ),
)
