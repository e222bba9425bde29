"""thread_usage: what the calling thread has had of the processor. is_blocked: who waits."""

from __future__ import annotations

import os
import threading
import time

import pytest

from pybrpc.base import thread_usage as module
from pybrpc.base.thread_usage import is_blocked, thread_usage

WAIT_S = 30.0


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


def test_thread_that_waits_is_blocked() -> None:
    event = threading.Event()
    thread = threading.Thread(target=event.wait, args=(WAIT_S,), name="in) brackets R (R")
    thread.start()
    try:
        assert thread.native_id is not None
        deadline = time.monotonic() + WAIT_S
        while not is_blocked(thread.native_id) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert is_blocked(thread.native_id)
    finally:
        event.set()
        thread.join()


def test_thread_that_runs_is_not_blocked() -> None:
    """It asks itself, so it runs."""
    assert not is_blocked(threading.get_native_id())


def test_unknown_thread_counts_as_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As all do where the system does not tell."""
    assert is_blocked(0)

    def refuse(*_: object) -> int:
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert is_blocked(threading.get_native_id())
