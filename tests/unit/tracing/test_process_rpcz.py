"""Rpcz: which calls get spans, what ids these have, and where they go."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import pytest

from pybrpc.protocols.message import RpcRequest
from pybrpc.tracing.context import TraceContext
from pybrpc.tracing.process_rpcz import Rpcz
from pybrpc.tracing.span import MAX_CLIENT_SPANS, InFlightCount, Span
from pybrpc.tracing.switch import set_current_span, wants_client_span, wants_server_span
from tests.fakes.spans import own_context

METHOD = "echo.EchoService.Echo"


def request(**fields: Any) -> RpcRequest:
    return RpcRequest(1, "echo.EchoService", "Echo", **fields)


def begun(span: Span | None) -> Span:
    assert span is not None
    return span


def server_span(rpcz: Rpcz, now: float = 1.0, **fields: Any) -> Span:
    return begun(rpcz.begin_server_span(request(**fields), METHOD, now))


def nested_span(rpcz: Rpcz, outer: Span | None, now: float = 1.0) -> Span | None:
    def begin() -> Span | None:
        set_current_span(outer)
        return rpcz.begin_client_span(METHOD, now)

    span: Span | None = own_context(begin)
    return span


def test_request_without_ids_begins_a_trace(rpcz: Rpcz) -> None:
    first, second = server_span(rpcz), server_span(rpcz)
    assert first.trace_id
    assert first.span_id
    assert first.trace_id != second.trace_id
    assert (first.parent_span_id, first.unique_id) == (0, first.span_id)


def test_span_of_a_request_has_the_ids_of_the_caller_as_in_brpc(rpcz: Rpcz) -> None:
    span = server_span(rpcz, trace_id=5, span_id=-6, parent_span_id=7)
    assert (span.trace_id, span.span_id, span.parent_span_id) == (5, 2**64 - 6, 7)
    assert (span.unique_parent_id, span.unique_id != span.span_id) == (span.span_id, True)


def test_call_in_a_handler_belongs_to_its_trace(rpcz: Rpcz) -> None:
    outer = server_span(rpcz, trace_id=5, span_id=6)
    outer.trace_id_high = 9
    nested = begun(nested_span(rpcz, outer))
    assert (nested.trace_id, nested.trace_id_high, nested.parent_span_id) == (5, 9, 6)
    rpcz.end(nested)
    rpcz.end(outer)
    assert rpcz.store.newest() == [outer]
    assert outer.client_spans == (nested,)


def test_call_after_the_end_of_the_handler_is_stored_in_the_trace(rpcz: Rpcz) -> None:
    outer = server_span(rpcz)
    rpcz.end(outer)
    nested = begun(nested_span(rpcz, outer, now=time.monotonic()))
    rpcz.end(nested)
    assert rpcz.store.trace(outer.trace_id) in ([outer, nested], [nested, outer])


def test_background_task_of_a_handler_gets_only_so_many_spans(rpcz: Rpcz) -> None:
    outer = server_span(rpcz)
    rpcz.end(outer)
    made = [nested_span(rpcz, outer) for _ in range(MAX_CLIENT_SPANS + 5)]
    assert [span is not None for span in made] == [True] * MAX_CLIENT_SPANS + [False] * 5


def test_off_only_calls_of_traced_callers_get_spans(rpcz: Rpcz) -> None:
    rpcz.enabled = False
    assert rpcz.begin_server_span(request(), METHOD, 1.0) is None
    assert rpcz.begin_client_span(METHOD, 1.0) is None
    outer = server_span(rpcz, trace_id=5)
    assert nested_span(rpcz, outer) is not None


def test_off_and_not_following_no_call_gets_a_span(rpcz: Rpcz) -> None:
    rpcz.enabled = rpcz.follows_upstream = False
    assert rpcz.begin_server_span(request(trace_id=5), METHOD, 1.0) is None
    assert not wants_server_span(1.0, True)
    rpcz.enabled = True
    assert server_span(rpcz, trace_id=5).trace_id == 5


def test_caller_that_is_not_sampled_does_not_ask_for_a_span(rpcz: Rpcz) -> None:
    context = TraceContext(5, 6, is_traced=False)
    assert rpcz.begin_server_span(request(), METHOD, 1.0, context) is not None
    rpcz.enabled = False
    assert rpcz.begin_server_span(request(), METHOD, 1.0, context) is None


def test_storm_gets_no_more_spans_than_the_limit(rpcz: Rpcz) -> None:
    rpcz.max_spans_per_second = 100
    made = [rpcz.begin_server_span(request(), METHOD, 1.0) for _ in range(1000)]
    traced = [rpcz.begin_server_span(request(trace_id=5), METHOD, 1.0) for _ in range(1000)]
    assert sum(span is not None for span in made) == 10
    assert sum(span is not None for span in traced) == 10


def test_while_the_bucket_is_empty_calls_do_not_ask(rpcz: Rpcz) -> None:
    rpcz.max_spans_per_second = 100
    assert wants_server_span(1.0, False)
    while rpcz.begin_server_span(request(), METHOD, 1.0) is not None:
        pass
    asked = [wants_server_span(1.0, False), wants_client_span(1.0), wants_server_span(1.0, True)]
    assert asked == [False, False, True]
    while rpcz.begin_server_span(request(trace_id=5), METHOD, 1.0) is not None:
        pass
    assert [wants_server_span(now, True) for now in (1.0, 1.2)] == [False, True]
    assert [wants_server_span(now, False) for now in (1.0, 1.2)] == [False, True]


def test_limit_that_is_raised_holds_at_once(rpcz: Rpcz) -> None:
    rpcz.max_spans_per_second = 0
    assert rpcz.begin_server_span(request(trace_id=5), METHOD, 1.0) is None
    assert not wants_server_span(1.0, True)
    rpcz.max_spans_per_second = 1000
    assert wants_server_span(1.0, False)


def test_only_so_many_spans_are_in_flight(rpcz: Rpcz, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpcz, "_in_flight", InFlightCount(2, 100))
    held = [server_span(rpcz), server_span(rpcz)]
    assert rpcz.begin_server_span(request(), METHOD, 1.0) is None
    assert rpcz.statistics().in_flight == 2
    for span in held:
        rpcz.end(span)
    assert rpcz.statistics().in_flight == 0
    assert server_span(rpcz)


def test_span_of_a_short_call_is_not_kept(rpcz: Rpcz) -> None:
    rpcz.min_latency_us = 100
    for latency_us in (99, 100):
        span = server_span(rpcz)
        span.sent_us = span.received_us + latency_us
        rpcz.end(span)
    assert [span.latency_us for span in rpcz.store.newest()] == [100]


def test_functions_get_each_span_nested_ones_too(rpcz: Rpcz) -> None:
    got: list[Span] = []
    assert rpcz.on_span_end(got.append) == got.append
    outer = server_span(rpcz)
    nested = begun(nested_span(rpcz, outer))
    rpcz.end(nested)
    rpcz.end(outer)
    assert rpcz.flush(30)
    assert got == [nested, outer]
    assert rpcz.remove_span_end(got.append)
    assert not rpcz.remove_span_end(got.append)


def test_functions_get_the_last_spans_at_the_exit_of_the_process() -> None:
    program = (
        "from pybrpc import tracing\n"
        "tracing.rpcz.enabled = True\n"
        "tracing.on_span_end(lambda span: print(span.method))\n"
        "for number in range(100):\n"
        "    tracing.rpcz.end(tracing.rpcz.begin_client_span(f'm{number}', 1.0))\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [f"m{number}" for number in range(100)]


@pytest.mark.parametrize("function", [None, 5, "print"])
def test_what_is_no_function_is_refused(rpcz: Rpcz, function: Any) -> None:
    with pytest.raises(TypeError, match="function"):
        rpcz.on_span_end(function)


def test_async_function_is_refused(rpcz: Rpcz) -> None:
    async def export(span: Span) -> None: ...

    with pytest.raises(TypeError, match="plain function"):
        rpcz.on_span_end(export)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enabled", 1),
        ("follows_upstream", "no"),
        ("max_spans_per_second", -1),
        ("max_bytes", None),
        ("min_latency_us", 1.5),
    ],
)
def test_wrong_option_is_refused_by_name(rpcz: Rpcz, name: str, value: Any) -> None:
    before = getattr(rpcz, name)
    with pytest.raises((TypeError, ValueError), match=name):
        setattr(rpcz, name, value)
    assert getattr(rpcz, name) == before


def test_statistics_and_repr_tell_the_state(rpcz: Rpcz) -> None:
    rpcz.end(server_span(rpcz))
    statistics = rpcz.statistics()
    assert (statistics.enabled, statistics.in_flight, statistics.store.spans) == (True, 0, 1)
    assert repr(rpcz) == "<Rpcz on, 1 spans>"


def test_forked_child_has_the_options_and_no_spans(rpcz: Rpcz) -> None:
    rpcz.max_spans_per_second = 77
    rpcz.end(server_span(rpcz))
    child = os.fork()
    if not child:
        numbers = (len(rpcz.store), rpcz.max_spans_per_second, rpcz.enabled)
        os._exit(0 if numbers == (0, 77, True) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(rpcz.store) == 1
