"""Span: what it notes in flight, how it ends, and where nested ones are kept."""

from __future__ import annotations

import gc
import threading

from pybrpc.tracing.span import (
    ANNOTATION_BYTES,
    MAX_ANNOTATION_CHARS,
    MAX_ANNOTATIONS,
    MAX_CLIENT_SPANS,
    MAX_NAME_CHARS,
    InFlight,
    InFlightCount,
    Span,
    SpanKind,
)
from tests.fakes.spans import ended_span, new_span

CLIENT = SpanKind.CLIENT


def counted_span(total: InFlightCount) -> Span:
    assert total.try_enter()
    return Span(SpanKind.SERVER, "a.B.C", 1, 2, 0, 0, InFlight(total))


def test_times_of_a_server_are_counted_from_the_request() -> None:
    span = new_span(start_us=100, start_callback_us=130, latency_us=50)
    assert (span.start_us, span.end_us, span.latency_us) == (100, 150, 50)


def test_times_of_a_client_are_counted_from_the_call() -> None:
    span = new_span(CLIENT, start_us=100, received_us=190, latency_us=50)
    assert (span.start_us, span.end_us, span.latency_us) == (100, 190, 90)


def test_monotonic_time_becomes_the_time_since_1970() -> None:
    span = Span(SpanKind.SERVER, "a.B.C", 1, 2, 0, 5_000_000)
    assert span.at_us(1.5) == 6_500_000


def test_annotations_are_kept_in_order_with_their_times() -> None:
    span = new_span()
    assert span.annotate("first", 1.0)
    assert span.annotate("second", 2.0)
    span.end()
    assert span.annotations == ((1_000_000, "first"), (2_000_000, "second"))


def test_annotations_beyond_the_limit_are_dropped_and_counted() -> None:
    span = new_span()
    noted = [span.annotate(str(number), 0.0) for number in range(MAX_ANNOTATIONS + 3)]
    span.end()
    assert noted == [True] * MAX_ANNOTATIONS + [False] * 3
    assert (len(span.annotations), span.dropped_annotations) == (MAX_ANNOTATIONS, 3)


def test_a_long_annotation_and_a_long_name_are_cut() -> None:
    span = new_span(method="m" * 10_000)
    span.annotate("x" * 10_000, 0.0)
    span.end()
    assert span.annotations[0].text == "x" * MAX_ANNOTATION_CHARS
    assert span.method == "m" * MAX_NAME_CHARS + "..."


def test_a_span_that_has_ended_takes_no_annotations() -> None:
    span = ended_span()
    assert not span.annotate("late", 0.0)
    assert span.annotations == ()


def test_annotations_of_all_spans_in_flight_share_a_limit() -> None:
    total = InFlightCount(10, ANNOTATION_BYTES + 100)
    first, second = counted_span(total), counted_span(total)
    noted = [first.annotate("a", 0.0), second.annotate("b", 0.0), second.annotate("c", 0.0)]
    assert noted == [True, False, False]
    first.end()
    assert second.annotate("d", 0.0)


def test_what_a_span_holds_is_counted_until_it_ends_or_is_lost() -> None:
    total = InFlightCount(10, 1 << 20)
    ends, is_lost = counted_span(total), counted_span(total)
    ends.annotate("a", 0.0)
    is_lost.annotate("b", 0.0)
    assert (total.count, total.size_bytes > 0) == (2, True)
    ends.end()
    del is_lost
    gc.collect()
    assert (total.count, total.size_bytes) == (0, 0)


def test_only_so_many_spans_may_be_in_flight() -> None:
    total = InFlightCount(2, 1)
    assert [total.try_enter() for _ in range(3)] == [True, True, False]
    total.leave(0)
    assert total.try_enter()


def test_nested_span_that_ends_first_is_kept_in_the_outer_one() -> None:
    outer, nested = new_span(), new_span(CLIENT)
    outer.add(nested)
    assert not nested.end()
    assert outer.end()
    assert outer.client_spans == (nested,)
    assert outer.size_bytes == ended_span().size_bytes + nested.size_bytes


def test_nested_span_that_ends_last_is_stored_by_itself() -> None:
    outer, nested = new_span(), new_span(CLIENT)
    outer.add(nested)
    assert outer.end()
    assert nested.end()
    assert outer.client_spans == ()


def test_nested_span_that_begins_after_the_outer_end_is_stored_by_itself() -> None:
    outer, nested = ended_span(), new_span(CLIENT)
    outer.add(nested)
    assert nested.end()


def test_span_takes_a_limited_number_of_nested_ones() -> None:
    outer = new_span()
    for _ in range(MAX_CLIENT_SPANS):
        assert outer.has_room
        outer.add(new_span(CLIENT))
    assert not outer.has_room


def test_nested_spans_that_end_with_the_outer_one_are_kept_exactly_once() -> None:
    for _ in range(200):
        outer, nested = new_span(), [new_span(CLIENT) for _ in range(3)]
        for span in nested:
            outer.add(span)
        start = threading.Barrier(4)
        alone: list[Span] = []

        def end(span: Span, start: threading.Barrier, alone: list[Span]) -> None:
            start.wait()
            if span.end():
                alone.append(span)

        threads = [threading.Thread(target=end, args=(span, start, alone)) for span in nested]
        for thread in threads:
            thread.start()
        end(outer, start, alone)
        for thread in threads:
            thread.join()
        stored = [id(span) for span in (*alone, *outer.client_spans)]
        assert sorted(stored) == sorted(id(span) for span in (outer, *nested))


def test_each_side_has_a_unique_id_and_they_are_joined() -> None:
    server, nested = new_span(span_id=5), new_span(CLIENT, span_id=6)
    server.share_id()
    server.add(nested)
    assert server.unique_parent_id == 5
    assert server.unique_id not in (0, 5, 6)
    assert (nested.unique_id, nested.unique_parent_id) == (6, server.unique_id)


def test_repr_shows_the_ids_as_brpc_does() -> None:
    shown = repr(ended_span(trace_id=0xAB, span_id=0xCD, error_code=1008, method="a.B.C"))
    assert shown == "<Span server a.B.C trace=ab span=cd 10 us, error 1008>"
    assert "in flight" in repr(new_span())
