"""annotate: which span gets the text."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from pybrpc.tracing.annotating import annotate
from pybrpc.tracing.span import Span
from pybrpc.tracing.switch import set_current_span
from tests.fakes.spans import ended_span, new_span, own_context


def annotate_within(span: Span | None, text: str) -> bool:
    def within() -> bool:
        set_current_span(span)
        return annotate(text)

    noted: bool = own_context(within)
    return noted


def test_current_span_gets_the_text_with_the_time() -> None:
    span = new_span()
    before = span.at_us(time.monotonic())
    assert annotate_within(span, "cache miss")
    span.end()
    (note,) = span.annotations
    assert note.text == "cache miss"
    assert before <= note.time_us <= span.at_us(time.monotonic())


def test_without_a_span_or_after_its_end_the_text_is_dropped() -> None:
    assert not annotate_within(None, "text")
    assert not annotate_within(ended_span(), "text")


@pytest.mark.parametrize("text", [None, b"bytes", 5])
def test_text_that_is_none_is_refused_traced_or_not(text: Any) -> None:
    with pytest.raises(TypeError, match="text must be a string"):
        annotate(text)


def test_tasks_and_their_threads_annotate_the_span() -> None:
    span = new_span()

    async def handle() -> None:
        set_current_span(span)
        await asyncio.create_task(noting("task"))
        await asyncio.to_thread(annotate, "thread")

    async def noting(text: str) -> None:
        annotate(text)

    asyncio.run(handle())
    span.end()
    assert [note.text for note in span.annotations] == ["task", "thread"]
