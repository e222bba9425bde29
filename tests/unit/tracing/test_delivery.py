"""Delivery: functions get spans in a thread of their own, whatever they do."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from pybrpc.tracing.delivery import MAX_WAITING, Delivery
from pybrpc.tracing.span import Span
from tests.fakes.spans import ended_span


@pytest.fixture
def delivery() -> Iterator[Delivery]:
    made = Delivery()
    yield made
    for listener in made.listeners:
        made.remove(listener)


def test_each_function_gets_each_span_in_order(delivery: Delivery) -> None:
    first: list[Span] = []
    second: list[Span] = []
    delivery.add(first.append)
    delivery.add(second.append)
    spans = [ended_span() for _ in range(100)]
    for span in spans:
        delivery.put(span)
    assert delivery.flush(30)
    assert first == second == spans


def test_functions_run_in_a_thread_of_their_own(delivery: Delivery) -> None:
    names: list[str] = []
    delivery.add(lambda span: names.append(threading.current_thread().name))
    delivery.put(ended_span())
    assert delivery.flush(30)
    assert names == ["pybrpc-spans"]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_function_that_raises_does_not_keep_others_from_spans(
    delivery: Delivery, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(span: Span) -> None:
        raise error

    got: list[Span] = []
    delivery.add(fail)
    delivery.add(got.append)
    delivery.put(ended_span())
    delivery.put(ended_span())
    assert delivery.flush(30)
    assert len(got) == 2
    assert "a function that gets spans raised" in caplog.text


def test_slow_function_loses_spans_and_the_queue_stays_bounded(delivery: Delivery) -> None:
    opened = threading.Event()
    delivery.add(lambda span: opened.wait(60))
    for _ in range(MAX_WAITING + 50):
        delivery.put(ended_span())
    assert len(delivery._queue) <= MAX_WAITING
    assert delivery.dropped >= 49
    assert not delivery.flush(0.0)
    opened.set()
    assert delivery.flush(30)


def test_thread_ends_with_the_last_function(delivery: Delivery) -> None:
    got: list[Span] = []
    delivery.add(got.append)
    thread = delivery._thread
    assert thread is not None
    delivery.put(ended_span())
    assert delivery.remove(got.append)
    assert (len(got), thread.is_alive()) == (1, False)
    delivery.put(ended_span())
    assert (len(got), len(delivery._queue)) == (1, 0)


def test_function_may_remove_itself(delivery: Delivery) -> None:
    got: list[Span] = []

    def once(span: Span) -> None:
        got.append(span)
        delivery.remove(once)

    delivery.add(once)
    thread = delivery._thread
    assert thread is not None
    delivery.put(ended_span())
    thread.join(30)
    assert (len(got), thread.is_alive()) == (1, False)
    delivery.add(got.append)
    delivery.put(ended_span())
    assert delivery.flush(30)
    assert len(got) == 2


def test_function_that_was_not_added_is_not_removed(delivery: Delivery) -> None:
    assert not delivery.remove(print)
    assert delivery.flush(0.0)


def test_forked_child_starts_a_thread_of_its_own(delivery: Delivery) -> None:
    read_end, write_end = os.pipe()
    delivery.add(lambda span: os.write(write_end, b"got"))
    child = os.fork()
    if not child:
        delivery.forget_parent()
        delivery.put(ended_span())
        os._exit(0 if delivery.flush(30) else 1)
    _, status = os.waitpid(child, 0)
    os.close(write_end)
    assert (status, os.read(read_end, 100)) == (0, b"got")
    os.close(read_end)
    assert repr(delivery) == "<Delivery to 1 functions, 0 spans wait>"
