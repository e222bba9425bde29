"""The span of a served request: what it notes, and that no failure of it gets to the call.

Spans of real calls are in integration/test_tracing.py.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pybrpc.errors import ErrorCode
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest
from pybrpc.server.calls import call_span
from pybrpc.server.calls.call_span import (
    begin_span,
    end_span,
    note_answer,
    note_turn,
    trace_rejected,
    traced,
    unsigned_log_id,
)
from pybrpc.server.calls.server_call import NO_ANSWER
from pybrpc.tracing.process_rpcz import Rpcz
from pybrpc.tracing.span import Span
from pybrpc.tracing.switch import current_span
from tests.fakes.spans import ended_span, fresh_rpcz, new_span, own_context

CONNECTION: Any = SimpleNamespace(
    socket=SimpleNamespace(remote_side=None), protocol=SimpleNamespace(name="baidu_std")
)


@pytest.fixture
def rpcz() -> Iterator[Rpcz]:
    with fresh_rpcz() as made:
        yield made


def request(**fields: Any) -> RpcRequest:
    return RpcRequest(1, "a.B", "C", b"12345", IOBuf(b"678"), **fields)


def test_begin_notes_what_the_request_tells(rpcz: Rpcz) -> None:
    span = begin_span(CONNECTION, request(log_id=-1), "a.B.C", 5.0)
    assert span is not None
    assert (span.method, span.protocol, span.request_size) == ("a.B.C", "baidu_std", 8)
    assert (span.log_id, span.received_us) == (2**64 - 1, span.at_us(5.0))


def test_steps_are_noted_in_order_and_the_first_turn_counts(rpcz: Rpcz) -> None:
    span = new_span()
    note_turn(span)
    first = span.start_parse_us
    note_turn(span)
    note_answer(span)
    assert span.start_parse_us == first <= span.start_send_us


def test_handler_runs_with_its_span(rpcz: Rpcz) -> None:
    span = new_span()
    handler = traced(span, lambda asked, controller: (asked, controller, current_span()))
    assert own_context(handler, 1, 2) == (1, 2, span)
    assert span.start_callback_us > 0


def test_steps_after_the_end_change_nothing(rpcz: Rpcz) -> None:
    span = ended_span()
    note_turn(span)
    note_answer(span)
    own_context(traced(span, lambda asked, controller: None), 1, 2)
    assert (span.start_parse_us, span.start_send_us, span.start_callback_us) == (0, 0, 0)


@pytest.mark.parametrize(
    ("code", "expected"), [(0, 0), (1008, 1008), (NO_ANSWER, ErrorCode.EFAILEDSOCKET)]
)
def test_end_stores_the_outcome(rpcz: Rpcz, code: int, expected: int) -> None:
    span = new_span()
    end_span(span, code, 77)
    assert rpcz.store.newest() == [span]
    assert (span.error_code, span.response_size) == (expected, 77)
    assert (span.sent_us > 10_000) == (code != NO_ANSWER)


def test_rejected_request_is_stored_at_once(rpcz: Rpcz) -> None:
    trace_rejected(CONNECTION, request(trace_id=5), ErrorCode.ENOMETHOD, 5.0)
    (span,) = rpcz.store.trace(5)
    assert (span.method, span.error_code, span.is_over) == ("a.B.C", ErrorCode.ENOMETHOD, True)


def test_no_failure_gets_to_the_call(
    rpcz: Rpcz, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> Span:
        raise MemoryError

    broken = SimpleNamespace(begin_server_span=fail, end=fail)
    monkeypatch.setattr(call_span, "RPCZ", broken)
    assert begin_span(CONNECTION, request(), "a.B.C", 5.0) is None
    trace_rejected(CONNECTION, request(), 5, 5.0)
    end_span(new_span(), 0, 0)
    assert caplog.text.count("Traceback") == 3


def test_log_id_is_unsigned() -> None:
    assert [unsigned_log_id(number) for number in (0, 5, -1)] == [0, 5, 2**64 - 1]


def test_own_thread_has_no_span() -> None:
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(current_span()))
    thread.start()
    thread.join()
    assert seen == [None]
