"""tracemalloc on demand: how it starts, what it finds, and all the ways in which it ends."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator

import pytest

from pybrpc.builtin.page import PageError
from pybrpc.builtin.profiling.heap_tracing import HeapTracing, growth_between, heap_profile
from tests.fakes.profiles import profile_of
from tests.fakes.threads import wait_until


@pytest.fixture
def tracing() -> Iterator[HeapTracing]:
    """Stopped at the end of the test."""
    assert not tracemalloc.is_tracing()
    tracing = HeapTracing(look_s=0.001)
    yield tracing
    tracing.stop()
    tracemalloc.stop()


def test_it_is_off_until_it_is_started(tracing: HeapTracing) -> None:
    assert not tracemalloc.is_tracing()
    assert repr(tracing) == "<HeapTracing off>"
    tracing.start(frames=3)
    assert tracemalloc.is_tracing()
    assert tracemalloc.get_traceback_limit() == 3
    assert tracing.is_own()
    assert 0 < tracing.remaining_s() <= 600
    assert tracing.stop()
    assert not tracemalloc.is_tracing()
    assert (tracing.is_own(), tracing.remaining_s()) == (False, 0.0)
    assert tracing.ended_because == "it was asked to"


def test_to_stop_what_was_not_started_is_harmless(tracing: HeapTracing) -> None:
    assert not tracing.stop()


def test_it_ends_when_its_time_is_over(tracing: HeapTracing) -> None:
    tracing.start(seconds=0.01)
    wait_until(lambda: not tracing.is_own())
    assert not tracemalloc.is_tracing()
    assert tracing.ended_because == "its time was over"


def test_it_ends_when_the_server_stops(tracing: HeapTracing) -> None:
    stopping = threading.Event()
    tracing.start(is_over=stopping.is_set)
    assert tracemalloc.is_tracing()
    stopping.set()
    wait_until(lambda: not tracing.is_own())
    assert not tracemalloc.is_tracing()
    assert tracing.ended_because == "the server stops"


def test_it_ends_when_tracemalloc_needs_too_much() -> None:
    tracing = HeapTracing(max_trace_bytes=1, look_s=0.001)
    tracing.start()
    wait_until(lambda: not tracing.is_own())
    assert not tracemalloc.is_tracing()
    assert tracing.ended_because.startswith("tracemalloc needed ")


def test_a_second_start_is_refused(tracing: HeapTracing) -> None:
    tracing.start()
    with pytest.raises(PageError, match="traces already") as refused:
        tracing.start()
    assert refused.value.status == 409


def test_tracing_of_the_application_is_used_and_not_stopped(tracing: HeapTracing) -> None:
    tracemalloc.start()
    with pytest.raises(PageError):
        tracing.start()
    assert not tracing.stop()
    assert tracemalloc.is_tracing()
    assert heap_profile().kind == "heap"


def test_without_a_thread_that_ends_it_nothing_is_traced(
    tracing: HeapTracing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(PageError) as refused:
            tracing.start()
    assert refused.value.status == 503
    assert not tracemalloc.is_tracing()
    tracing.start()


def test_a_forked_child_does_not_trace(tracing: HeapTracing) -> None:
    tracing.start()
    parents = tracing._stop
    tracing.renew_locks()
    assert not tracemalloc.is_tracing()
    assert not tracing.is_own()
    parents.set()


def test_blocks_in_use_are_found_where_they_were_allocated(tracing: HeapTracing) -> None:
    tracing.start(frames=5)
    kept = [bytearray(100_000) for _ in range(7)]
    profile = heap_profile()
    key, values = max(profile.samples.items(), key=lambda sample: sample[1][1])
    assert values[1] // 100_000 == len(kept)
    assert values[0] >= len(kept)
    assert key.stack[-1].file == __file__
    assert key.stack[-1].function == f"test_heap_tracing.py:{key.stack[-1].line}"


def test_what_profiles_allocate_themselves_is_left_out(tracing: HeapTracing) -> None:
    tracing.start(frames=5)
    first = heap_profile()
    files = {frame.file for key in heap_profile().samples for frame in key.stack}
    assert first.samples is not None
    assert not any(file.endswith(("/heap_tracing.py", "/tracemalloc.py")) for file in files)


def test_nothing_traced_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(PageError, match="has to be started first") as refused:
        heap_profile()
    assert refused.value.status == 409


def test_too_many_blocks_are_not_copied(tracing: HeapTracing) -> None:
    tracing.start()
    with pytest.raises(PageError, match="too many") as refused:
        heap_profile(max_trace_bytes=1)
    assert refused.value.status == 503


def test_growth_is_the_difference() -> None:
    before = profile_of({"same": 5, "freed": 7, "less": 4}, kind="heap", unit="bytes")
    after = profile_of({"same": 5, "new": 11, "less": 1}, kind="heap", unit="bytes")
    growth = growth_between(before, after)
    found = {key.stack[0].function: values for key, values in growth.samples.items()}
    assert found == {"freed": (-1, -7), "new": (1, 11), "less": (0, -3)}
    assert growth.kind == "growth"
