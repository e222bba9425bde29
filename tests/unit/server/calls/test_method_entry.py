"""MethodEntry: when a handler counts as slow, and when it may run inline."""

from __future__ import annotations

import pytest

from pybrpc.rpc.method import methods_of
from pybrpc.server.calls.method_entry import MAX_FAST_CALLS, MIN_FAST_CALLS, SLOW_S, MethodEntry
from tests.peers.raw_peer import SERVICE


def new_entry() -> MethodEntry:
    return MethodEntry(next(iter(methods_of(SERVICE))), print)


@pytest.mark.parametrize(("slow_calls", "is_slow"), [(1, False), (2, False), (3, True)])
def test_handler_is_slow_after_three_slow_calls(slow_calls: int, is_slow: bool) -> None:
    entry = new_entry()
    for _ in range(slow_calls):
        entry.note_duration(100.0)
    assert (entry.mean_s > SLOW_S) == is_slow


def test_handler_that_was_slow_becomes_fast_again() -> None:
    entry = new_entry()
    for _ in range(1000):
        entry.note_duration(100.0)
    for _ in range(20):
        entry.note_duration(0.0)
    assert entry.mean_s < SLOW_S


def fast_calls_until_quick(entry: MethodEntry) -> int:
    calls = 0
    while not entry.is_quick():
        entry.note_duration(0.0)
        calls += 1
    return calls


def test_handler_does_not_run_inline_after_one_slow_call() -> None:
    entry = new_entry()
    assert entry.is_quick()
    entry.note_duration(2 * SLOW_S)
    assert fast_calls_until_quick(entry) == MIN_FAST_CALLS


def test_handler_needs_twice_as_many_fast_calls_after_each_slow_call() -> None:
    entry = new_entry()
    needed = []
    for _ in range(8):
        entry.note_duration(2 * SLOW_S)
        needed.append(fast_calls_until_quick(entry))
    assert needed == [8, 16, 32, 64, 128, 256, 256, 256]
    assert needed[-1] == MAX_FAST_CALLS


def test_handler_needs_few_fast_calls_again_after_many_fast_ones() -> None:
    entry = new_entry()
    for _ in range(8):
        entry.note_slow()
    assert fast_calls_until_quick(entry) == MAX_FAST_CALLS
    for _ in range(10 * MAX_FAST_CALLS):
        entry.note_duration(0.0)
    entry.note_slow()
    assert fast_calls_until_quick(entry) == MIN_FAST_CALLS
