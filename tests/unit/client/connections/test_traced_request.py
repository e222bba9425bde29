"""trace_request: which requests carry ids, and what the span notes."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.client.connections.traced_request import trace_request
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.hulu import HULU_PBRPC
from pybrpc.protocols.message import RpcRequest
from pybrpc.protocols.sofa import SOFA_PBRPC
from pybrpc.tracing.span import SpanKind
from tests.fakes.spans import new_span


@pytest.mark.parametrize(
    ("protocol", "carries"), [(BAIDU_STD, True), (HULU_PBRPC, True), (SOFA_PBRPC, False)]
)
def test_request_carries_ids_where_there_is_a_place(protocol: Any, carries: bool) -> None:
    span = new_span(SpanKind.CLIENT, trace_id=2**64 - 1, span_id=6, parent_span_id=7)
    request = RpcRequest(9, "a.B", "C", b"12345", IOBuf(b"678"))
    trace_request(span, request, protocol)
    ids = (request.trace_id, request.span_id, request.parent_span_id)
    assert ids == ((-1, 6, 7) if carries else (None, None, None))
    assert (span.protocol, span.call_id, span.request_size) == (protocol.name, 9, 8)
    assert span.sent_us > 0
