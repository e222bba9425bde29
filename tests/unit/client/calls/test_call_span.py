"""The span of a call: what it notes, and that no failure of it gets to the call.

Spans of real calls are in integration/test_tracing.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.calls.call_span import (
    begin_span,
    end_span,
    note_failed_attempt,
    note_sent,
    response_size,
)
from pybrpc.errors import ErrorCode, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.controller import Controller
from pybrpc.tracing import process_rpcz
from pybrpc.tracing.process_rpcz import Rpcz
from pybrpc.tracing.span import Span, SpanKind
from tests.fakes.spans import fresh_rpcz, new_span

PEER = Endpoint("10.0.0.1", 80)


@pytest.fixture
def rpcz() -> Iterator[Rpcz]:
    with fresh_rpcz() as made:
        yield made


def client_span() -> Span:
    return new_span(SpanKind.CLIENT)


def test_begin_notes_method_and_log_id(rpcz: Rpcz) -> None:
    span = begin_span("a.B.C", Controller(log_id=2**64 - 1), 5.0)
    assert span is not None
    assert (span.method, span.log_id) == ("a.B.C", 2**64 - 1)
    assert span.start_send_us == span.at_us(5.0)
    without = begin_span("a.B.C", None, 5.0)
    assert without is not None
    assert without.log_id is None


def test_success_has_the_size_of_the_response(rpcz: Rpcz) -> None:
    span = client_span()
    note_sent(span)
    end_span(span, PEER, None, RpcResponse(1, body=b"123", attachment=IOBuf(b"45")))
    assert rpcz.store.newest() == [span]
    assert (span.error_code, span.response_size, span.remote_side) == (0, 5, PEER)
    assert span.received_us >= span.sent_us > 0


def test_failure_has_the_code_and_no_text(rpcz: Rpcz) -> None:
    span = client_span()
    note_failed_attempt(span, ErrorCode.ECONNREFUSED)
    end_span(span, None, RpcError("secret", code=ErrorCode.ERPCTIMEDOUT), None)
    assert (span.error_code, span.received_us) == (ErrorCode.ERPCTIMEDOUT, 0)
    assert [note.text for note in span.annotations] == ["an attempt has failed: ECONNREFUSED"]


def test_attempt_that_was_sent_after_the_end_changes_nothing(rpcz: Rpcz) -> None:
    span = client_span()
    end_span(span, PEER, None, RpcResponse(1))
    sent_us = span.sent_us
    note_sent(span)
    assert span.sent_us == sent_us


def test_response_without_a_body_has_the_size_0() -> None:
    assert response_size(["a reply of Redis"]) == 0


def test_no_failure_gets_to_the_call(
    rpcz: Rpcz, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> Span:
        raise MemoryError

    broken = SimpleNamespace(begin_client_span=fail, end=fail, annotate=fail)
    monkeypatch.setattr(process_rpcz, "RPCZ", broken)
    assert begin_span("a.B.C", None, 5.0) is None
    end_span(client_span(), PEER, None, None)
    note_failed_attempt(broken, 5)  # type: ignore[arg-type]
    assert caplog.text.count("Traceback") == 3
