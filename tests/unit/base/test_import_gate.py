"""Imports in functions, and forks of other threads: one waits for the other."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pybrpc.base import import_gate
from pybrpc.base.import_gate import ImportGate

WAIT_S = 30


@contextmanager
def importing_in_another_thread(gate: ImportGate) -> Iterator[Callable[[], None]]:
    """Another thread is within the gate, until the function is called, or the block ends."""
    begun, go_on = threading.Event(), threading.Event()

    def run() -> None:
        with gate, gate:
            begun.set()
            assert go_on.wait(WAIT_S)

    thread = threading.Thread(target=run)
    thread.start()
    assert begun.wait(WAIT_S)
    try:
        yield go_on.set
    finally:
        go_on.set()
        thread.join()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> ImportGate:
    """One that no fork of this process knows."""
    monkeypatch.setattr(ImportGate, "watch_forks", lambda gate: None)
    return ImportGate()


def test_fork_waits_until_other_threads_have_imported(gate: ImportGate) -> None:
    forked = threading.Event()

    def fork() -> None:
        gate._before_fork()
        forked.set()
        gate._after_fork_in_parent()

    with importing_in_another_thread(gate) as end:
        thread = threading.Thread(target=fork)
        thread.start()
        assert not forked.wait(0.05)
        end()
        thread.join()
    assert forked.is_set()


def test_imports_begin_after_a_fork_that_is_under_way(gate: ImportGate) -> None:
    imported = threading.Event()

    def use() -> None:
        with gate:
            imported.set()

    gate._before_fork()
    thread = threading.Thread(target=use)
    thread.start()
    assert not imported.wait(0.05)
    gate._before_fork()  # registered twice
    gate._after_fork_in_parent()
    gate._after_fork_in_parent()
    thread.join()
    assert imported.is_set()


def test_neither_waits_for_ever(gate: ImportGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_gate, "LONGEST_WAIT_S", 0.01)
    with importing_in_another_thread(gate) as end:
        gate._before_fork()
        assert not gate._depths, "the next fork does not wait for that thread again"
        end()
    gate._after_fork_in_parent()
    with importing_in_another_thread(gate):
        pass
    assert not gate._depths


def test_thread_that_imports_may_fork_and_use_the_gate_in_the_child(gate: ImportGate) -> None:
    with importing_in_another_thread(gate), gate:
        gate._depths = {threading.get_ident(): 1, 1: 2}
        gate._forks = threading.get_ident()
        gate._after_fork_in_child()
        assert gate._depths == {threading.get_ident(): 1}
        with gate:
            gate._before_fork()
            gate._after_fork_in_parent()
    assert gate._depths == {}


def is_free(condition: threading.Condition) -> bool:
    """Whether another thread can take its lock."""
    found: list[bool] = []

    def look() -> None:
        found.append(condition.acquire(timeout=0.05))
        if found[0]:
            condition.release()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]


def test_signal_handler_that_raises_leaves_no_lock_held() -> None:
    """Each later import of each other thread waited ten seconds for it."""

    class Struck(Exception):
        pass

    gate = ImportGate()
    gate._is_before_logging = True
    for strike in range(200):
        events = itertools.count()

        def profile(
            frame: Any, event: str, argument: Any, events: Any = events, at: int = strike
        ) -> None:
            if frame.f_code.co_name == "_count" and event == "c_return" and next(events) == at:
                raise Struck

        sys.setprofile(profile)
        try:
            gate._count(1)
        except Struck:
            pass
        else:
            break
        finally:
            sys.setprofile(None)
        assert is_free(gate._changed), strike
    assert strike > 0
