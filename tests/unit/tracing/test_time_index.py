"""TimeIndex, against a list that is sorted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pybrpc.tracing.span import Span
from pybrpc.tracing.time_index import MIN_GAPS, TimeIndex
from tests.fakes.spans import ended_span

STARTS = st.lists(st.integers(0, 50), max_size=60)


@given(STARTS, st.sets(st.integers(0, 59)), st.integers(-1, 51))
def test_newest_is_as_a_sorted_list(starts: list[int], removed: set[int], before: int) -> None:
    index = TimeIndex()
    spans = [ended_span(start_us=start_us) for start_us in starts]
    for span in spans:
        index.add(span)
    for number in removed & set(range(len(spans))):
        index.discard(spans[number])
    left = [span for number, span in enumerate(spans) if number not in removed]
    # Of spans that began at the same time, the one that came last is the newest.
    expected = sorted(left, key=lambda span: span.start_us)[::-1]
    assert list(index.newest()) == expected
    assert list(index.newest(before)) == [span for span in expected if span.start_us <= before]
    assert len(index) == len(left)


def test_gaps_are_closed() -> None:
    index = TimeIndex()
    spans: list[Span] = []
    for start_us in range(10 * MIN_GAPS):
        span = ended_span(start_us=start_us)
        spans.append(span)
        index.add(span)
        if len(spans) > 10:
            index.discard(spans.pop(0))
        assert len(index._spans) <= 2 * MIN_GAPS + 12
    assert list(index.newest()) == spans[::-1]


def test_discard_of_an_unknown_span_does_nothing() -> None:
    index = TimeIndex()
    index.add(ended_span())
    index.discard(ended_span())
    assert len(index) == 1
