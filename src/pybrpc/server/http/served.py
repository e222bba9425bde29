"""Requests of HTTP that are over, for the access log."""

from __future__ import annotations

import time

from pybrpc.server.access_log.access_line import HttpSummary, cut_path
from pybrpc.server.calls.call_end import ServedRequest
from pybrpc.server.connections.server_connection import ServerConnection
from pybrpc.server.http.request import HttpRequest


def summary_of(request: HttpRequest) -> HttpSummary:
    """The path without its query, which may have secrets."""
    resolved = request.resolved
    return HttpSummary(resolved.head.method, cut_path(resolved.path), request.status)


def note_served(
    connection: ServerConnection,
    request: HttpRequest,
    sent_bytes: int,
    received_bytes: int = 0,
    error_code: int = 0,
    log_id: int | None = None,
    request_id: str | None = None,
) -> None:
    """A request that is no call was answered by a page or an application. Any thread; never
    raises."""
    call_end = connection.server.call_end
    if call_end.served_listeners:
        latency_s = time.monotonic() - request.received_at
        http = summary_of(request)
        call_end.note_served(
            ServedRequest(
                connection,
                http,
                error_code,
                received_bytes,
                sent_bytes,
                latency_s,
                log_id,
                request_id,
            )
        )
