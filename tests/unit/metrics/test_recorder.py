"""Recorder: adding without a lock, folding, threads, and code that comes in between."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import Any

import pytest

from pybrpc.metrics.recorder import FOLD_AT, WAIT_AT, Recorder
from pybrpc.metrics.reducers import Adder


class ListRecorder(Recorder):
    """Its state is the tuple of all values. `on_merge` runs in the middle of a fold."""

    __slots__ = ("on_merge",)

    _INITIAL: tuple[int, ...] = ()

    def __init__(self) -> None:
        self.on_merge: Any = None
        super().__init__(None)

    def record(self, value: int) -> None:
        self._pending.append(value)
        if len(self._pending) >= FOLD_AT:
            self._fold_if_free()

    def get_value(self) -> tuple[int, ...]:
        self._fold()
        value: tuple[int, ...] = self._state
        return value

    def waiting(self) -> int:
        return len(self._pending)

    def _merged(self, values: list[int]) -> tuple[int, ...]:
        if self.on_merge is not None:
            self.on_merge()
        return (*self._state, *values)


def test_values_wait_until_they_are_read() -> None:
    recorder = ListRecorder()
    recorder.record(1)
    recorder.record(2)
    assert recorder.waiting() == 2
    assert recorder.get_value() == (1, 2)
    assert recorder.waiting() == 0


def test_no_more_than_a_limit_waits_if_nobody_reads() -> None:
    recorder = ListRecorder()
    most = 0
    for value in range(3 * FOLD_AT + 7):
        recorder.record(value)
        most = max(most, recorder.waiting())
    assert most < FOLD_AT
    assert recorder.get_value() == tuple(range(3 * FOLD_AT + 7))


def test_value_that_is_added_during_a_fold_is_kept() -> None:
    recorder = ListRecorder()
    recorder.record(1)
    recorder.on_merge = lambda: recorder.record(2)
    assert recorder.get_value() == (1,)
    recorder.on_merge = None
    assert recorder.get_value() == (1, 2)


def test_reading_in_the_middle_of_a_fold_sees_the_state_before() -> None:
    recorder = ListRecorder()
    recorder.record(1)
    seen: list[tuple[int, ...]] = []
    recorder.on_merge = lambda: seen.append(recorder.get_value())
    assert recorder.get_value() == (1,)
    assert seen == [()]


def test_fold_that_raises_loses_nothing() -> None:
    recorder = ListRecorder()
    recorder.record(1)

    def interrupt() -> None:
        raise KeyboardInterrupt

    recorder.on_merge = interrupt
    with pytest.raises(KeyboardInterrupt):
        recorder.get_value()
    recorder.on_merge = None
    assert recorder.get_value() == (1,)


def test_thread_that_adds_does_not_wait_for_a_fold() -> None:
    recorder = ListRecorder()
    recorder.record(0)
    folding, go_on = threading.Event(), threading.Event()

    def block() -> None:
        folding.set()
        go_on.wait()

    recorder.on_merge = block
    reader = threading.Thread(target=recorder.get_value)
    reader.start()
    folding.wait()
    recorder.on_merge = None
    for value in range(WAIT_AT - 2):
        recorder.record(value)
    waiting = recorder.waiting()
    writer = threading.Thread(target=lambda: [recorder.record(value) for value in range(10)])
    writer.start()  # this one has to wait: the list has its limit
    writer.join(0.1)
    is_waiting = writer.is_alive()
    at_limit = recorder.waiting()
    go_on.set()
    reader.join()
    writer.join()
    assert waiting == WAIT_AT - 1
    assert is_waiting
    assert at_limit == WAIT_AT
    assert len(recorder.get_value()) == WAIT_AT - 1 + 10


def test_no_value_is_lost_or_counted_twice_between_threads() -> None:
    adder = Adder()
    stopped = threading.Event()
    seen: list[float] = []

    def read() -> None:
        while not stopped.is_set():
            seen.append(adder.get_value())

    def add() -> None:
        for _ in range(30_000):
            adder.add()

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        readers = [threading.Thread(target=read) for _ in range(2)]
        writers = [threading.Thread(target=add) for _ in range(4)]
        for thread in (*readers, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        stopped.set()
        for thread in readers:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert adder.get_value() == 4 * 30_000
    assert max(seen, default=0) <= 4 * 30_000


def test_values_of_threads_that_have_ended_remain() -> None:
    adder = Adder()
    for _ in range(5):
        thread = threading.Thread(target=adder.add)
        thread.start()
        thread.join()
    assert adder.get_value() == 5


def test_interrupt_at_any_place_of_a_fold_counts_each_value_once() -> None:
    """Raise at each line and each call of a fold, one after the other."""
    place = 0
    while True:
        adder = Adder()
        adder.add(1)
        if not _interrupted_at(place, adder):
            break
        assert adder.get_value() == 1, place
        adder.add(1)
        assert adder.get_value() == 2, place
        place += 1
    assert place > 8


def _interrupted_at(place: int, adder: Adder) -> bool:
    """Whether the read was interrupted, at the `place`-th event at which a signal may come."""
    count = 0

    def trace(frame: Any, event: str, argument: object) -> Any:
        nonlocal count
        if "/metrics/" not in frame.f_code.co_filename:
            return None
        if event == "call" or (event == "line" and not _is_commit(frame)):
            count += 1
            if count > place:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    old = sys.gettrace()
    sys.settrace(trace)
    try:
        adder.get_value()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(old)
    return False


def _is_commit(frame: Any) -> bool:
    """Whether the line runs without a call from the one before: CPython handles no signal there."""
    import linecache

    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    return line in ("self._state = merged", "self._is_folding = False", "try:")


def test_recorder_is_not_kept_alive() -> None:
    recorder = ListRecorder()
    recorder.keep_samples(1)
    gone = weakref.ref(recorder)
    del recorder
    gc.collect()
    assert gone() is None
