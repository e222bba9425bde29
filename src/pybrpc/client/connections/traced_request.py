"""trace_request: the ids of a trace in a request, and what the span notes of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pybrpc.protocols.message import RpcRequest
from pybrpc.protocols.protocol import RpcProtocol
from pybrpc.protocols.traits import carries_trace

if TYPE_CHECKING:
    from pybrpc.tracing.span import Span


def trace_request(span: Span, request: RpcRequest, protocol: RpcProtocol) -> None:
    """Put the ids of `span` into `request`, which is about to be packed, if `protocol` has a place
    for them."""
    span.protocol = str(protocol.name)
    span.sent_us = span.at_us(time.monotonic())
    span.call_id = request.correlation_id
    attachment = request.attachment
    attached = 0 if attachment is None else len(attachment)
    span.request_size = len(request.body) + attached
    if carries_trace(protocol):
        from pybrpc.tracing.context import put_into_request  # as all of tracing, imported before

        put_into_request(span, request)


def note_http_request(span: Span, size_bytes: int) -> None:
    """A request of HTTP with the ids of `span` in its headers is about to be sent."""
    span.protocol = "http"
    span.sent_us = span.at_us(time.monotonic())
    span.request_size = size_bytes
