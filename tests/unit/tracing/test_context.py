"""TraceContext: ids in requests, in headers of bRPC, in traceparent; and hostile ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.protocols.http1.headers import HttpHeaders
from pybrpc.protocols.message import RpcRequest
from pybrpc.tracing.context import (
    TraceContext,
    extract,
    inject,
    parse_traceparent,
    put_into_request,
    to_traceparent,
)
from tests.fakes.spans import new_span

ID = st.integers(1, 2**64 - 1)
TRACE = "0af7651916cd43dd8448eb211c80319c"
HIGH, LOW = int(TRACE[:16], 16), int(TRACE[16:], 16)
SPAN = "b7ad6b7169203331"
EXAMPLE = f"00-{TRACE}-{SPAN}-01"


def request(**fields: object) -> RpcRequest:
    return RpcRequest(1, "echo.EchoService", "Echo", **fields)  # type: ignore[arg-type]


@given(ID, ID, st.integers(0, 2**64 - 1), st.one_of(st.just(0), ID))
def test_ids_in_a_request_come_back(trace: int, span: int, parent: int, high: int) -> None:
    carrier = request()
    made = new_span(trace_id=trace, span_id=span, parent_span_id=parent, trace_id_high=high)
    put_into_request(made, carrier)
    assert TraceContext.of_request(carrier) == TraceContext(trace, span, parent, high)
    assert (carrier.user_fields is not None) == bool(high)


@given(ID, ID, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_ids_in_headers_come_back(trace: int, span: int, parent: int, high: int) -> None:
    headers = HttpHeaders()
    made = new_span(trace_id=trace, span_id=span, parent_span_id=parent, trace_id_high=high)
    inject(headers, made)
    assert extract(headers) == TraceContext(trace, span, parent, high)


@given(ID, ID, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_ids_of_headers_come_to_the_request(trace: int, span: int, parent: int, high: int) -> None:
    carrier, context = request(), TraceContext(trace, span, parent, high)
    context.put_into(carrier)
    assert TraceContext.of_request(carrier) == context


def test_ids_of_a_caller_without_a_span_do_not_come_to_the_request() -> None:
    carrier = request()
    TraceContext(5, 6, is_traced=False).put_into(carrier)
    assert carrier.trace_id is None


def test_user_fields_of_the_caller_are_not_changed() -> None:
    fields = {"a": "b"}
    carrier = request(user_fields=fields)
    put_into_request(new_span(trace_id_high=5), carrier)
    assert fields == {"a": "b"}
    assert carrier.user_fields is not None
    assert sorted(carrier.user_fields) == ["a", "traceparent"]


def test_traceparent_and_headers_that_are_there_are_kept() -> None:
    carrier = request(user_fields={"traceparent": EXAMPLE})
    put_into_request(new_span(trace_id_high=5), carrier)
    assert carrier.user_fields == {"traceparent": EXAMPLE}
    headers = HttpHeaders({"x-bd-trace-id": "5"})
    inject(headers, new_span())
    assert headers["x-bd-trace-id"] == "5"


def test_headers_of_brpc_are_decimal() -> None:
    headers = HttpHeaders()
    inject(headers, new_span(trace_id=255, span_id=2**64 - 1, parent_span_id=3))
    assert dict(headers) == {
        "x-bd-trace-id": "255",
        "x-bd-span-id": "18446744073709551615",
        "x-bd-parent-span-id": "3",
        "traceparent": "00-000000000000000000000000000000ff-ffffffffffffffff-01",
    }


def test_request_of_brpc_has_signed_ids() -> None:
    found = TraceContext.of_request(request(trace_id=-1, span_id=-2, parent_span_id=5))
    assert found == TraceContext(2**64 - 1, 2**64 - 2, 5)


def test_trace_id_of_128_bits_in_a_request_is_split() -> None:
    found = TraceContext.of_request(request(trace_id=int(TRACE, 16), span_id=9))
    assert found == TraceContext(LOW, 9, 0, HIGH)


def test_traceparent_among_the_user_fields_counts() -> None:
    fields = {"traceparent": EXAMPLE}
    expected = TraceContext(LOW, int(SPAN, 16), 0, HIGH)
    assert TraceContext.of_request(request(user_fields=fields)) == expected
    joined = TraceContext.of_request(request(trace_id=LOW, span_id=7, user_fields=fields))
    assert joined == TraceContext(LOW, 7, 0, HIGH)
    other = TraceContext.of_request(request(trace_id=8, span_id=7, user_fields=fields))
    assert other == TraceContext(8, 7, 0, 0)


@pytest.mark.parametrize("trace_id", [None, 0, 1 << 64, -(1 << 64)])
def test_request_without_a_lower_half_has_no_ids(trace_id: int | None) -> None:
    assert TraceContext.of_request(request(trace_id=trace_id, span_id=7)) is None


def test_headers_of_brpc_come_before_another_traceparent() -> None:
    headers = HttpHeaders({"x-bd-trace-id": "9", "x-bd-span-id": "10", "traceparent": EXAMPLE})
    assert extract(headers) == TraceContext(9, 10, 0, 0)


def test_traceparent_that_is_not_sampled_is_not_traced() -> None:
    context = parse_traceparent(EXAMPLE[:-2] + "00")
    assert context is not None
    assert not context.is_traced


def test_later_version_may_have_more_fields() -> None:
    assert parse_traceparent(f"01-{TRACE}-{SPAN}-01-what-else") is not None
    assert to_traceparent(new_span(trace_id=LOW, trace_id_high=HIGH, span_id=int(SPAN, 16))) == (
        EXAMPLE
    )


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        EXAMPLE + "-more",
        "ff" + EXAMPLE[2:],
        EXAMPLE.upper(),
        EXAMPLE.replace("-", ""),
        EXAMPLE.replace(SPAN, "0" * 16),
        EXAMPLE.replace(TRACE[16:], "0" * 16),
        EXAMPLE + "\n",
        "01-" + EXAMPLE[3:] + "-" + "x" * 10_000,
        "\u0660" * 55,
    ],
)
def test_bad_traceparent_is_no_context(value: str | None) -> None:
    assert parse_traceparent(value) is None


@pytest.mark.parametrize(
    "value", ["", "-1", "0", "+5", " 5", "1e3", "0x5", str(2**64), "9" * 5000, "5,6", "\u0665"]
)
def test_bad_decimal_id_is_no_context(value: str) -> None:
    headers = HttpHeaders()
    headers._fields["x-bd-trace-id"] = ("x-bd-trace-id", value)
    assert extract(headers) is None
    headers["x-bd-trace-id"] = "5"
    headers._fields["x-bd-span-id"] = ("x-bd-span-id", value)
    assert extract(headers) == TraceContext(5)


@given(st.text(max_size=80))
def test_any_text_is_read_without_an_error(value: str) -> None:
    context = parse_traceparent(value)
    assert context is None or context.trace_id
