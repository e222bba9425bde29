"""SpanStore: what it keeps, finds, and forgets."""

from __future__ import annotations

import threading

import pytest

from pybrpc.tracing.query import SpanQuery
from pybrpc.tracing.span import SPAN_BYTES, Span, SpanKind
from pybrpc.tracing.store import INDEX_BYTES, SpanStore
from tests.fakes.spans import ended_span, new_span


def store_of(*spans: Span, max_bytes: int = 1 << 20) -> SpanStore:
    store = SpanStore(max_bytes)
    for span in spans:
        store.put(span)
    return store


def test_newest_begins_with_the_span_that_began_last() -> None:
    spans = [ended_span(start_us=start_us) for start_us in (50, 70, 60)]
    assert [span.start_us for span in store_of(*spans).newest()] == [70, 60, 50]


def test_newest_before_a_time_has_the_span_of_that_time() -> None:
    store = store_of(*(ended_span(start_us=start_us) for start_us in (50, 60, 70)))
    assert [span.start_us for span in store.newest(SpanQuery(before_us=60))] == [60, 50]


def test_newest_looks_at_max_scan_spans_and_returns_those_that_fit() -> None:
    store = store_of(*(ended_span(start_us=i, latency_us=i % 2) for i in range(1, 101)))
    found = store.newest(SpanQuery(min_latency_us=1, max_scan=10))
    assert [span.start_us for span in found] == [99, 97, 95, 93, 91]
    assert len(store.newest(SpanQuery(limit=3))) == 3


def test_without_a_query_newest_returns_100() -> None:
    store = store_of(*(ended_span(start_us=i) for i in range(150)))
    assert len(store.newest()) == 100


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        (SpanQuery(min_latency_us=11), {"latency_us": 11}),
        (SpanQuery(min_request_size=5), {"request_size": 5}),
        (SpanQuery(min_response_size=6), {"response_size": 6}),
        (SpanQuery(log_id=9), {"log_id": 9}),
        (SpanQuery(error_code=1008), {"error_code": 1008}),
    ],
)
def test_each_condition_finds_the_span_that_fulfils_it(
    query: SpanQuery, fields: dict[str, int]
) -> None:
    wanted = ended_span(**fields)
    assert store_of(ended_span(), wanted, ended_span()).newest(query) == [wanted]


def test_trace_has_its_spans_by_their_starts() -> None:
    late, early = ended_span(start_us=9), ended_span(start_us=5)
    store = store_of(late, ended_span(trace_id=1), early)
    assert store.trace(7) == [early, late]
    assert store.trace(2) == []


def test_trace_has_the_newest_of_too_many() -> None:
    store = store_of(*(ended_span(start_us=i) for i in range(20)))
    assert [span.start_us for span in store.trace(7, limit=3)] == [17, 18, 19]


def test_find_prefers_the_span_of_the_server() -> None:
    client, server = ended_span(SpanKind.CLIENT), ended_span(SpanKind.SERVER)
    assert store_of(client, server).find(7, 8) is server
    assert store_of(client).find(7, 8) is client
    assert store_of(client).find(7, 9) is None


def test_find_finds_a_nested_span() -> None:
    outer, nested = new_span(span_id=1), new_span(SpanKind.CLIENT, span_id=2)
    outer.add(nested)
    nested.end()
    outer.end()
    store = store_of(outer)
    assert store.find(7, 2) is nested
    assert store.newest() == [outer]


def test_spans_that_ended_first_leave_first() -> None:
    each = ended_span().size_bytes + INDEX_BYTES
    store = SpanStore(3 * each)
    for start_us in (90, 10, 20, 30):
        store.put(ended_span(start_us=start_us, trace_id=start_us))
    assert [span.start_us for span in store.newest()] == [30, 20, 10]
    assert store.trace(90) == []
    statistics = store.statistics()
    assert (statistics.spans, statistics.evicted, statistics.oldest_us) == (3, 1, 10)
    assert statistics.size_bytes == 3 * each


def test_many_spans_keep_the_memory_within_the_limit() -> None:
    limit = 100 * (SPAN_BYTES + INDEX_BYTES)
    store = SpanStore(limit)
    for number in range(5000):
        store.put(ended_span(start_us=number, trace_id=number % 7, method="m" * (number % 200)))
        assert store.statistics().size_bytes <= limit
    assert len(store.newest(SpanQuery(max_scan=10_000))) == len(store)
    assert sum(len(store.trace(number)) for number in range(7)) == len(store)


def test_a_span_larger_than_the_store_is_not_kept() -> None:
    store = SpanStore(SPAN_BYTES)
    store.put(ended_span())
    assert (len(store), store.statistics().size_bytes) == (0, 0)


def test_less_memory_makes_spans_leave_at_once() -> None:
    store = store_of(*(ended_span(start_us=i) for i in range(10)))
    store.max_bytes = 2 * (ended_span().size_bytes + INDEX_BYTES)
    assert [span.start_us for span in store.newest()] == [9, 8]


def test_clear_forgets_all() -> None:
    store = store_of(ended_span())
    store.clear()
    assert (len(store), store.newest(), store.trace(7)) == (0, [], [])


def test_put_does_not_wait_for_another_thread_and_the_span_is_found() -> None:
    store = store_of()
    span = ended_span()
    with store._lock:
        store.put(span)
    assert store.newest() == [span]


def test_spans_of_many_threads_are_all_found() -> None:
    store = SpanStore(1 << 30)

    def put_many(number: int) -> None:
        for start_us in range(300):
            store.put(ended_span(start_us=start_us, trace_id=number))

    threads = [threading.Thread(target=put_many, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        store.newest()
        thread.join()
    assert [len(store.trace(number)) for number in range(6)] == [300] * 6
    assert len(store._arrived) == 0


def test_repr_says_how_full_it_is() -> None:
    assert repr(SpanStore(99)) == "<SpanStore 0 spans, 0 of 99 bytes>"
