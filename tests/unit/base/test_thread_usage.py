"""thread_usage: what the calling thread has had of the processor."""

from __future__ import annotations

import threading

import pytest

from pybrpc.base import thread_usage as module
from pybrpc.base.thread_usage import thread_usage


def test_thread_that_waits_is_counted() -> None:
    before = thread_usage()
    threading.Event().wait(0.005)
    after = thread_usage()
    assert before is not None
    assert after is not None
    assert after[0] > before[0]


def test_processor_time_grows_while_the_thread_computes() -> None:
    before = after = thread_usage()
    assert before is not None
    for _ in range(10_000):
        sum(range(1000))
        after = thread_usage()
        assert after is not None
        if after[1] > before[1]:
            break
    assert after is not None
    assert after[1] > before[1]


def test_system_without_such_counts_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OF_THREAD", None)
    assert thread_usage() is None
